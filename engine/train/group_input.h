// GroupInput: what the network is given of one batch-norm group.
//
//   bytes --normalise--> blank boxes (erasing, cutout) --shrink--> mixup or CutMix --> images, targets
//
// Everything random was drawn elsewhere: boxes with the sample, mixing from (seed, step, group)
// (engine/data/batch_mix).
#pragma once

#include <torch/torch.h>

#include "engine/data/batch_mix.h"
#include "engine/kernels/group_images.h"
#include "engine/train/batch_feed.h"
#include "engine/train/run/run_config.h"

namespace imgtrain {

struct GroupInput {
  torch::Tensor images;   // N x 3 x H x W, channels_last, normalised.
  torch::Tensor labels;   // N, int64: of the images themselves.
  torch::Tensor targets;  // `labels`, or N x classes where images were mixed.
  // Blocks x N, float: what each residual branch is multiplied by (stochastic depth); undefined: nothing.
  torch::Tensor branch_scales;
};

// Blanks boxes of normalised images in place: zero is the mean colour. `boxes`: of every image.
void blank(torch::Tensor& images, const data::BlankBoxes* boxes);

// By nearest neighbours to `size` pixels a side, as torch's interpolate(scale_factor=size/width) does it.
torch::Tensor shrink(const torch::Tensor& images, int64_t size);

// Mixes images in place of the copies it returns; targets are one-hot rows mixed in the same shares.
void apply_mix(const data::GroupMix& mix, int64_t classes, GroupInput& group);

// What a group of `batch` consists of, from its sample `begin` on. `size`: pixels a side for the network. `fused`: the
// kernel that makes the images in one pass, already in the number type of config.precision; nullptr: the operations
// above make them, one after the other.
GroupInput make_group_input(const DeviceBatch& batch, int64_t begin, int64_t count, const RunConfig& config,
                            PixelNormalizer& normalizer, uint32_t size, uint64_t step, int64_t classes,
                            kernels::GroupImagesLauncher fused = nullptr);

// Which group of the global batch it is: the key of what is drawn for it.
data::GroupKey group_key(const DeviceBatch& batch, int64_t begin, const RunConfig& config, uint64_t step);

data::MixOptions mix_options(const RunConfig& config);

}  // namespace imgtrain
