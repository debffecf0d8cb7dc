// Whether kernels of this program's own compute on a device what they should: asked once, before a training relies on
// them. A card or a driver that nobody tried them on then costs speed, and no results.
#pragma once

#include <torch/torch.h>

#include <string>

#include "engine/model/fused_batch_norm.h"

namespace imgtrain {

// Runs `norm` and libtorch's own operations on small feature maps, of small numbers and of large ones, in every number
// type that it takes, forward and backward, and asks whether NaN gets through ReLU. Empty: they agree but for rounding.
// Otherwise what differs, what the device said, or that it takes none of them. Waits for the device; draws nothing from
// torch's common generators.
std::string disagreement(const FusedNorm& norm, torch::Device device);

}  // namespace imgtrain
