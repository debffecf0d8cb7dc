// From a configuration or a file to a model on its device.
#pragma once

#include <torch/torch.h>

#include <filesystem>

#include "engine/model/resnet.h"
#include "engine/model/weights.h"
#include "engine/train/run/run_config.h"

namespace imgtrain {

// Freshly initialised, in channels_last.
ResNet make_model(const RunConfig& config, int64_t classes, torch::Device device);

// Puts the weights of config.init into a model that begins; a classifier of another number of classes stays as it was.
// Throws Error(kIo, kCorruption, kInvalidInput).
void load_initial_weights(imgpack::FileSystem& fs, const RunConfig& config, ResNet& model);

// The model whose weights a file holds, with them. `path` is for messages. Throws Error(kInvalidInput).
ResNet load_model(const TensorFile& file, const std::filesystem::path& path, torch::Device device);

}  // namespace imgtrain
