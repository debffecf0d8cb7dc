// The images of a group by one kernel (engine/kernels/group_images): its bytes are read once and the network's input is
// written once, where separate operations write every stage in between, and blank every box by a launch of its own.
#pragma once

#include <torch/torch.h>

#include <string>

#include "engine/data/batch_mix.h"
#include "engine/kernels/group_images.h"
#include "engine/train/batch_feed.h"
#include "engine/train/run/run_config.h"

namespace imgtrain {

// The kernel that a run uses: nullptr where the separate operations do the work (--no-fused, on a CPU, in fp64, in a
// program built without kernels, or where the device does not compute what it should).
kernels::GroupImagesLauncher group_images_launcher(const RunConfig& config, torch::Device device);

// Runs the launcher and libtorch's operations on a few images. Empty: they agree; otherwise what differs or was
// refused.
std::string disagreement(kernels::GroupImagesLauncher launcher, torch::Device device);

// count x 3 x side x side in channels_last, in the number type that the first convolution computes in. `side`: as
// decoded, or less: shrunk to it. `blanks`: of these images, nullptr: none.
torch::Tensor fused_group_images(kernels::GroupImagesLauncher launcher, const torch::Tensor& bytes,
                                 const data::BlankBoxes* blanks, const data::GroupMix& mix, int64_t side,
                                 Precision precision);

}  // namespace imgtrain
