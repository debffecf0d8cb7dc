// `imgtrain eval`: the weights of a run or of a file, measured on a split.
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "engine/train/compute_device.h"
#include "engine/train/evaluation_setup.h"
#include "engine/train/evaluator.h"
#include "engine/train/model_setup.h"
#include "engine/train/rank_setup.h"
#include "engine/train/run/input_options.h"
#include "engine/train/trainer.h"
#include "engine/train/weights_source.h"
#include "format/error.h"

namespace imgtrain {
namespace {

namespace json = boost::json;
using imgpack::Error;
using imgpack::ErrorKind;

// Weights of another set of classes would give numbers that mean nothing.
void require_same_classes(const TensorFile& file, const ResNetOptions& model, const imgpack::Dataset& dataset,
                          const std::filesystem::path& path) {
  const std::vector<std::string> names = class_names(dataset);
  require_classes(model, static_cast<int64_t>(names.size()), dataset.folder());
  const auto stated = file.metadata.find("classes");
  if (stated == file.metadata.end()) return;
  boost::system::error_code failure;
  const json::value list = json::parse(stated->second, failure);
  if (failure || !list.is_array()) throw Error(ErrorKind::kCorruption, "its list of classes cannot be read", path);
  const json::array& classes = list.get_array();
  for (size_t i = 0; i < names.size(); ++i) {
    const bool same = i < classes.size() && classes[i].is_string() && classes[i].get_string() == names[i];
    if (same) continue;
    const std::string found =
        i < classes.size() && classes[i].is_string() ? std::string(classes[i].get_string()) : "none";
    throw Error(ErrorKind::kInvalidInput,
                "the weights are of other classes than the data set: class " + std::to_string(i) + " is '" + found +
                    "' for the model and '" + names[i] + "' in " + dataset.folder().string(),
                path);
  }
}

}  // namespace

std::optional<RealLabels> real_labels(imgpack::FileSystem& fs, const imgpack::Dataset& dataset,
                                      const std::string& split) {
  for (const imgpack::LabelSetInfo& info : dataset.manifest().label_sets) {
    if (info.name != "real" || info.split != split) continue;
    return RealLabels(imgpack::read_label_set(fs, dataset.folder(), info), dataset.split(split),
                      static_cast<int64_t>(dataset.manifest().classes.size()));
  }
  return std::nullopt;
}

OpenedEvaluation open_evaluation(imgpack::FileSystem& fs, const EvaluateRequest& request, RunListener& listener) {
  EvaluateOutcome outcome;
  if (request.best && !std::filesystem::is_directory(request.checkpoint))
    throw Error(ErrorKind::kUsage, "best: expected a run folder as the checkpoint", request.checkpoint);
  const WeightsSource source = open_weights(fs, request.checkpoint, {.best = request.best},
                                            [&](const std::string& line) { listener.warn(line); });
  outcome.weights = source.path;
  const TensorFile& file = source.file;
  std::vector<ConfigLayer> layers = {source.config};
  layers.push_back(request.overrides);
  outcome.config = resolve(layers).values;
  RunConfig& config = outcome.config;
  outcome.split = request.split.empty() ? config.val_split : request.split;

  const Launch launch = launch_from_environment();
  const torch::Device device = choose_device(config, launch.local_rank);
  configure_compute(config, device, launch.local_world);
  config.input_threads = choose_input_threads(config, device, launch.local_world);
  auto sync = make_gradient_sync(launch, device, sync_options(config, listener));
  // A rank that fails from here on is not waited for.
  std::optional<imgpack::Dataset> dataset;
  ResNet model = telling_failure(*sync, [&] {
    dataset.emplace(imgpack::Dataset::open(fs, request.shards));
    ResNet loaded = load_model(file, outcome.weights, device);
    if (config.precision == Precision::kFp64) to_double(*loaded);
    require_same_classes(file, loaded->options(), *dataset, outcome.weights);
    return loaded;
  });
  outcome.model = describe(model->options()).at("model");
  outcome.classes = model->options().num_classes;
  outcome.class_list = dataset->manifest().classes;
  outcome.leads = sync->rank() == 0;
  return {std::move(outcome), *std::move(dataset), device, std::move(sync), std::move(model)};
}

EvaluateOutcome evaluate(imgpack::FileSystem& fs, const EvaluateRequest& request, RunListener& listener) {
  OpenedEvaluation opened = open_evaluation(fs, request, listener);
  return reporting_failure(*opened.sync, [&]() -> EvaluateOutcome {
    EvaluateOutcome& outcome = opened.outcome;
    const RunConfig& config = outcome.config;
    Evaluator evaluator(fs, opened.dataset, outcome.split, config, opened.device, *opened.sync);
    std::vector<EvaluationView> views;
    for (const auto& [size, resize] : request.sizes) views.push_back({size, resize});
    if (views.empty()) views.push_back({config.eval_size, config.eval_resize});
    const auto real = real_labels(fs, opened.dataset, outcome.split);
    const auto results = evaluator.run(opened.model, listener, views, real ? &*real : nullptr);
    outcome.stopped = !results;
    if (!results) return std::move(outcome);
    for (const ViewResult& result : *results) {
      outcome.sizes.push_back({result.view.size, result.view.resize, result.totals, result.classes,
                               real ? std::optional(result.real) : std::nullopt});
    }
    return std::move(outcome);
  });
}

}  // namespace imgtrain
