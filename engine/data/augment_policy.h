// Automatic augmentation: which operations an image gets, and how strongly.
//
//   "rand-m6-mstd0.5-inc1" --parse--> AugmentPolicy --draws--> PolicyStep … --apply--> pixels
//
//   none
//   autoaugment             torchvision's AutoAugment with the ImageNet policy
//   randaugment[-m9][-n2]   torchvision's RandAugment, magnitude of 31 bins
//   trivialaugment          torchvision's TrivialAugmentWide
//   rand-m9[-n2][-p0.5][-mstd0.5][-inc1]   timm's RandAugment
//
// Sources: torchvision 0.26 transforms/autoaugment.py and timm 1.0.22 data/auto_augment.py (on Pillow images), with the
// same draws in the same order; tests/parity/test_augment_policy.py replays draws through both.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "engine/data/image_ops.h"

namespace imgtrain::data {

enum class PolicyKind { kNone, kAutoAugment, kRandAugment, kTrivialAugmentWide, kTimmRandAugment };

struct AugmentPolicy {
  PolicyKind kind = PolicyKind::kNone;
  double magnitude = 9;
  int operations = 2;
  double probability = 0.5;  // Of each operation; timm's alone, as are the next two.
  double deviation = 0;      // Of the magnitude; above 100: uniform from 0 to the magnitude.
  bool increasing = false;
};

// Throws Error(kUsage) "expected …, found …" for a text that is none.
AugmentPolicy parse_augment_policy(const std::string& text);

enum class PixelOp {
  kIdentity,
  kShearX,
  kShearY,
  kTranslateX,
  kTranslateY,
  kRotate,
  kBrightness,
  kColour,
  kContrast,
  kSharpness,
  kPosterize,
  kSolarize,
  kSolarizeAdd,
  kAutoContrast,
  kEqualize,
  kInvert,
};

// `value`: a shear, a shift of the input in pixels, degrees, a factor, bits, a threshold, an addition; else unused.
struct PolicyStep {
  PixelOp op = PixelOp::kIdentity;
  double value = 0;
};

// `uniform` gives the draws, each in [0, 1).
std::vector<PolicyStep> choose_steps(const AugmentPolicy& policy, int width, int height,
                                     const std::function<double()>& uniform);

// What lies outside the image after a geometric operation: black for torchvision's policies, the mean colour of
// ImageNet for timm's.
Rgb policy_fill(const AugmentPolicy& policy);

void apply_step(const PolicyStep& step, const RgbImage& image, Resample resample, const Rgb& fill, Scratch& scratch);

// torchvision's ColorJitter: each strength s draws a factor from max(0, 1 - s) to 1 + s, hue a shift from -hue to hue;
// the four are applied in random order. 0 leaves one out.
struct ColourJitter {
  double brightness = 0, contrast = 0, saturation = 0, hue = 0;
  bool active() const { return brightness > 0 || contrast > 0 || saturation > 0 || hue > 0; }
};
void apply_colour_jitter(const ColourJitter& jitter, const RgbImage& image, const std::function<double()>& uniform);

}  // namespace imgtrain::data
