#include "engine/train/model_setup.h"

#include "engine/model/weights.h"

namespace imgtrain {

ResNet make_model(const RunConfig& config, int64_t classes, torch::Device device) {
  ResNetOptions options;
  options.depth = static_cast<int>(config.depth);
  options.num_classes = classes;
  options.stem = config.stem;
  options.average_downsample = config.average_downsample;
  options.blurpool = config.blurpool;
  options.weight_rule = config.initial_weights;
  options.zero_init_last_gamma = config.zero_init_last_gamma;
  options.seed = static_cast<uint64_t>(config.seed);
  ResNet model(options);
  model->to(device);
  if (config.precision == Precision::kFp64) to_double(*model);
  to_channels_last(*model);
  return model;
}

void load_initial_weights(imgpack::FileSystem& fs, const RunConfig& config, ResNet& model) {
  load_state_dict(*model, read_tensors(fs, config.init), config.init, Classifier::kKeepOwnIfOther);
}

ResNet load_model(const TensorFile& file, const std::filesystem::path& path, torch::Device device) {
  ResNet model(options_of(file, path));
  load_state_dict(*model, file, path);
  model->to(device);
  to_channels_last(*model);
  return model;
}

}  // namespace imgtrain
