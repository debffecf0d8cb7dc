// Whether kernels of this program's own compute on a device what they should: asked once, before a training relies on
// them. A card or a driver that nobody tried them on then costs speed, and no results.
#pragma once

#include <torch/torch.h>

#include <string>

#include "engine/model/fused_batch_norm.h"

namespace imgtrain {

// Runs `norm` and libtorch's own operations on small feature maps in every number type, forward and backward. Empty:
// they agree but for rounding. Otherwise what differs, or what the device said. Waits for the device; draws nothing
// from torch's common generators.
std::string disagreement(const FusedNorm& norm, torch::Device device);

}  // namespace imgtrain
