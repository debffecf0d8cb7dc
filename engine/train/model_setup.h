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

// The model whose weights a file holds, with them. `path` is for messages. Throws Error(kInvalidInput).
ResNet load_model(const TensorFile& file, const std::filesystem::path& path, torch::Device device);

}  // namespace imgtrain
