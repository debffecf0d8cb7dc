// Mixup and CutMix, decided: what a group of images becomes is a pure function of (seed, step, group). Pairs never
// leave their batch-norm group, so the result does not depend on ranks or micro-batches.
//
//   (seed, step, group) --> GroupMix { mixup or cutmix, share, box, partners } --> images and targets (engine/train)
//
// Mixup: H. Zhang et al., arXiv 1710.09412. CutMix: S. Yun et al., arXiv 1905.04899. The three styles are those of timm
// 1.0.22 (Mixup, mode batch), torchvision 0.26 (v2.MixUp and v2.CutMix) and Composer (MixUp and CutMix).
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "engine/data/augment.h"

namespace imgtrain::data {

enum class MixStyle {
  kTimm,         // Partner: the group backwards.
  kTorchvision,  // Partner: the image before.
  kComposer,     // Partner: a random permutation; mixup leaves each image at least half of the weight.
};

struct MixOptions {
  double mixup_alpha = 0, cutmix_alpha = 0;  // 0: never.
  double probability = 1;                    // That a group is mixed at all.
  double cutmix_share = 0.5;                 // Of the mixed groups, where both are possible.
  MixStyle style = MixStyle::kTimm;
  bool active() const { return mixup_alpha > 0 || cutmix_alpha > 0; }
};

struct GroupMix {
  enum class Kind { kNone, kMixup, kCutmix };
  Kind kind = Kind::kNone;
  double share = 1;               // The image's own part of its target; 1 - share is its partner's.
  CropBox box;                    // kCutmix: what comes from the partner.
  std::vector<uint32_t> partner;  // Of every image of the group.
};

struct GroupKey {
  uint64_t seed = 0;
  uint64_t step = 0;   // Optimizer steps since the start of training.
  uint32_t group = 0;  // Within the global batch.
};

GroupMix mix_group(const MixOptions& options, uint32_t images, int width, int height, const GroupKey& key);

// CutMix's box for the share that a draw gave: sides sqrt(1 - share) of the image's around a uniformly drawn pixel, cut
// off at the border. Draws in the order y, x for timm and x, y for the others.
CropBox cutmix_box(int width, int height, double share, MixStyle style, const std::function<double()>& uniform);

// A number of the distribution Beta(alpha, alpha). Source: M. D. Jöhnk, Metrika 8 (1964), for alpha <= 1; two gamma
// numbers (G. Marsaglia and W. W. Tsang, ACM TOMS 26, 2000) above.
double beta_draw(double alpha, const std::function<double()>& uniform);

// For every block of the network and every image of a group, whether its residual branch is kept in this step
// (stochastic depth). rates[b]: the probability that block b drops it. Block-major: kept[b * images + i].
std::vector<uint8_t> kept_branches(const std::vector<double>& rates, uint32_t images, const GroupKey& key);

}  // namespace imgtrain::data
