#include "engine/train/weights_source.h"

#include <algorithm>
#include <charconv>

#include "engine/report/portable/run_record.h"
#include "engine/train/checkpoint.h"
#include "engine/train/run/checkpoint_store.h"
#include "engine/train/run/run_folder.h"
#include "format/error.h"

namespace imgtrain {
namespace {

using imgpack::Error;
using imgpack::ErrorKind;

// A number that a weights file states; nullopt: it does not, or it is no number.
template <typename Number>
std::optional<Number> stated_number(const TensorFile& file, const std::string& key) {
  const auto stated = file.metadata.find(key);
  if (stated == file.metadata.end()) return std::nullopt;
  const std::string& text = stated->second;
  Number value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// What a weights file states of how to look at images; nothing for files of other programs.
ConfigLayer view_in(const TensorFile& file, const std::filesystem::path& path) {
  ConfigLayer layer{path.string(), {}};
  for (const char* key : {"eval_size", "eval_resize"})
    if (const auto value = stated_number<int64_t>(file, key)) layer.values[key] = *value;
  if (const auto value = stated_number<double>(file, "eval_crop_ratio")) layer.values["eval_crop_ratio"] = *value;
  if (const auto stated = file.metadata.find("interpolation"); stated != file.metadata.end())
    layer.values["interpolation"] = stated->second;
  return layer;
}

std::filesystem::path part_of(const CheckpointStore& store, imgpack::FileSystem& fs, uint64_t step,
                              AverageChoice average) {
  const std::filesystem::path averaged = store.tensors_path(step, "average");
  return average != AverageChoice::kNever && fs.exists(averaged) ? averaged : store.tensors_path(step, "weights");
}

// The first evaluation that no other surpassed: the checkpoint that is kept as the best is that one's. From the log of
// the run: checkpoints are saved before their evaluation.
std::optional<Accuracy> best_accuracy(imgpack::FileSystem& fs, const std::filesystem::path& run) {
  std::optional<Accuracy> best;
  for (const EvaluatedEpoch& epoch : read_run(fs, run).evaluations)
    if (!best || epoch.top1 > best->top1) best = Accuracy{epoch.top1, epoch.top5};
  return best;
}

// The final weights of a run, else those of its newest whole checkpoint; or the best one's.
void choose_of_run(imgpack::FileSystem& fs, const WeightsChoice& choice, bool averages,
                   const std::function<void(const std::string&)>& warn, WeightsSource& source) {
  const std::filesystem::path& run = source.run;
  CheckpointStore store(fs, run / "checkpoints", 1);
  if (choice.best) {
    const auto step = store.best();
    if (!step)
      throw Error(ErrorKind::kInvalidInput, "expected a best checkpoint (checkpoints/best), found none", run, {},
                  "a run keeps one unless --keep-best false was given; it is named after the first evaluation");
    source.path = part_of(store, fs, *step, choice.average);
    // The evaluations are of the average where there is one.
    if (choice.average != AverageChoice::kNever || !averages) source.accuracy = best_accuracy(fs, run);
    return;
  }
  const std::filesystem::path final_weights = run / "weights.safetensors";
  if (fs.exists(final_weights) && !(averages && choice.average == AverageChoice::kNever)) {
    source.path = final_weights;
    source.accuracy = source.facts->accuracy;
    return;
  }
  const auto found = store.newest(warn);
  if (!found) {
    throw Error(ErrorKind::kInvalidInput,
                "expected the weights of a run, found neither weights.safetensors nor a checkpoint", run);
  }
  source.path = part_of(store, fs, found->step, choice.average);
}

}  // namespace

WeightsSource open_weights(imgpack::FileSystem& fs, const std::filesystem::path& path, const WeightsChoice& choice,
                           const std::function<void(const std::string&)>& warn) {
  WeightsSource source;
  if (std::filesystem::is_directory(path)) {
    source.run = path;
    const RunConfig config = read_run_config(fs, path);
    source.config = {(path / "config.json").string(), to_json(config)};
    source.facts = read_run_facts(fs, path);
    const bool averages = config.ema != AverageKind::kNone;
    if (choice.average == AverageChoice::kRequired && !averages) {
      throw Error(ErrorKind::kUsage, "expected a run that averages its weights, and this one keeps no average", path,
                  {}, "ask for its weights as they are");
    }
    choose_of_run(fs, choice, averages, warn, source);
  } else {
    if (choice.best) throw Error(ErrorKind::kUsage, "best: expected a run folder, found a file", path);
    if (choice.average != AverageChoice::kWhereKept)
      throw Error(ErrorKind::kUsage,
                  "a weights file holds one set of weights: average or not is a choice that a run "
                  "folder offers",
                  path);
    source.path = path;
  }
  source.file = read_tensors(fs, source.path);
  if (source.run.empty()) source.config = view_in(source.file, path);
  return source;
}

}  // namespace imgtrain
