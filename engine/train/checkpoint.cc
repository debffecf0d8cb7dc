#include "engine/train/checkpoint.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <span>

#include "engine/model/weights.h"
#include "engine/train/run/json_text.h"
#include "format/checksum.h"

namespace imgtrain {
namespace {

constexpr const char* kWeights = "weights";
constexpr const char* kOptimizer = "optimizer";
constexpr const char* kAverage = "average";

}  // namespace

void write_checkpoint(imgpack::FileSystem& fs, CheckpointStore& store, const RunState& state,
                      const ResNetOptions& model, const NamedTensors& weights, const NamedTensors& optimizer,
                      const NamedTensors& average) {
  const uint64_t step = state.position.step;
  const auto metadata = weights_metadata(model, state.config, state.classes, state.dataset_id);
  write_tensors(fs, store.tensors_path(step, kWeights), weights, metadata);
  write_tensors(fs, store.tensors_path(step, kOptimizer), optimizer);
  std::vector<std::string> parts = {kWeights, kOptimizer};
  if (!average.empty()) {
    write_tensors(fs, store.tensors_path(step, kAverage), average, metadata);
    parts.emplace_back(kAverage);
  }
  store.publish(step, to_json(state), parts);
}

RunState load_checkpoint(imgpack::FileSystem& fs, const CheckpointStore& store, const CheckpointStore::Found& found,
                         ResNet& model, Optimizer& optimizer, ResNet* average) {
  const RunState state = run_state_from_json(found.state, found.path.string());
  const std::filesystem::path weights = store.tensors_path(found.step, kWeights);
  const std::filesystem::path momentum = store.tensors_path(found.step, kOptimizer);
  load_state_dict(*model, read_tensors(fs, weights), weights);
  optimizer.load(read_tensors(fs, momentum).tensors, momentum);
  if (average != nullptr) {
    const std::filesystem::path path = store.tensors_path(found.step, kAverage);
    load_state_dict(**average, read_tensors(fs, path), path);
  }
  return state;
}

std::map<std::string, std::string> weights_metadata(const ResNetOptions& model, const RunConfig& config,
                                                    const std::vector<std::string>& classes,
                                                    const std::string& dataset_id,
                                                    const std::vector<std::string>& class_names) {
  auto metadata = describe(model);
  metadata["classes"] = compact_json(boost::json::array(classes.begin(), classes.end()));
  if (std::any_of(class_names.begin(), class_names.end(), [](const std::string& name) { return !name.empty(); }))
    metadata["class_names"] = compact_json(boost::json::array(class_names.begin(), class_names.end()));
  metadata["dataset_id"] = dataset_id;
  metadata["eval_size"] = std::to_string(config.eval_size);
  metadata["eval_resize"] = std::to_string(config.eval_resize);
  metadata["interpolation"] = std::string(to_json(config).at("interpolation").as_string());
  if (config.eval_crop_ratio > 0) metadata["eval_crop_ratio"] = number_text(config.eval_crop_ratio);
  return metadata;
}

uint64_t weights_digest(const ResNet& model) {
  imgpack::ChecksumStream stream;
  for (const auto& [name, tensor] : state_dict(*model)) {
    stream.update(std::as_bytes(std::span(name)));
    const torch::Tensor host = tensor.detach().cpu().contiguous();
    stream.update(std::span(static_cast<const std::byte*>(host.const_data_ptr()), host.nbytes()));
  }
  return stream.digest();
}

}  // namespace imgtrain
