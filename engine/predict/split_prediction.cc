#include "engine/predict/split_prediction.h"

#include <utility>

#include "engine/predict/predictor_state.h"
#include "engine/train/batch_feed.h"
#include "engine/train/compute_device.h"
#include "engine/train/run/input_options.h"
#include "engine/train/run/run_listener.h"
#include "format/dataset.h"
#include "format/error.h"

namespace imgtrain {

using imgpack::Error;
using imgpack::ErrorKind;

namespace {

// A model of other classes would name the wrong ones. A split without labels has no classes to compare with.
void require_same_classes(const imgpack::Dataset& dataset, const imgpack::SplitView& split,
                          const std::vector<ModelClass>& classes) {
  if (!split.info.labeled) return;
  const auto& packed = dataset.manifest().classes;
  for (size_t i = 0; i < packed.size() || i < classes.size(); ++i) {
    const std::string ours = i < classes.size() ? classes[i].wnid : "none";
    const std::string theirs = i < packed.size() ? packed[i].wnid : "none";
    if (ours == theirs || ours.empty()) continue;
    throw Error(ErrorKind::kInvalidInput,
                "the model is of other classes than the data set: class " + std::to_string(i) + " is '" + ours +
                    "' for the model and '" + theirs + "' in the data set",
                dataset.folder());
  }
}

}  // namespace

bool predict_split(imgpack::FileSystem& fs, const std::filesystem::path& shards, const std::string& split,
                   const Predictor& predictor, int64_t k, RunListener& listener, const TakePrediction& take) {
  const imgpack::Dataset dataset = imgpack::Dataset::open(fs, shards, imgpack::ReadNames::kYes);
  const imgpack::SplitView& view = dataset.split(split);
  if (view.records() == 0)
    throw Error(ErrorKind::kInvalidInput, "split '" + split + "' has no images", dataset.folder());
  require_same_classes(dataset, view, predictor.classes());

  Predictor::State& state = *predictor.state_;
  RunConfig config = state.config;
  config.input_threads = choose_input_threads(config, state.device);
  const auto slots = slot_memory(state.device);
  data::BatchPipeline pipeline(fs, dataset, evaluation_input(config, split, Share{}), *slots);
  BatchFeed feed(pipeline, state.device);
  feed.start_epoch(0);
  listener.begin_pass({split, view.records(), 0, static_cast<double>(config.log_seconds)});
  uint64_t record = 0;
  bool stopped = false;
  while (const auto batch = feed.next()) {
    std::vector<std::vector<Guess>> guesses;
    if (batch->count > 0) {
      const auto held = predictor.turn();
      guesses = state.guess(batch->images, k);
    }
    for (const std::string& what : batch->left_out) listener.warn("left out: " + what);
    for (size_t i = 0; i < guesses.size(); ++i, ++record) {
      // Batches come in record order; a record that was left out is one that no id matches.
      while (record < view.records() && view.columns.id[record] != batch->ids[i]) ++record;
      if (record == view.records())
        throw Error(ErrorKind::kInternal, "an image came back that the split does not have, or out of order",
                    dataset.folder());
      take({view.columns.names[record], view.info.labeled ? view.columns.label[record] : -1, view.columns.width[record],
            view.columns.height[record], std::move(guesses[i])});
    }
    feed.prefetch();
    listener.advance(static_cast<uint64_t>(batch->global_count));
    if (listener.take_request() == RunRequest::kStop) {
      stopped = true;
      break;
    }
  }
  listener.end_pass();
  return !stopped;
}

}  // namespace imgtrain
