// What the network is given of one batch-norm group, in one pass over its bytes.
//
//   bytes --normalise--> blank boxes --shrink--> mixup or CutMix --round--> images
//
// The arithmetic is that of engine/train/group_input, which does the same one step after the other: a pixel's value is
// value * scale + shift, rounded once; blank is zero; shrinking takes nearest neighbours; mixup rounds both products
// and their sum to float. What the decoder has done already (crops, flips) is not repeated.
#pragma once

#include <cstdint>

#include "engine/kernels/launch.h"

namespace imgtrain::kernels {

struct PixelBox {
  int32_t x = 0, y = 0, width = 0, height = 0;
};
// Of one image, in pixels of the image as it was decoded; empty ones blank nothing.
struct BlankPair {
  PixelBox first, second;
};

enum class Mixing { kNone, kMixup, kCutmix };

struct GroupImages {
  int32_t count = 0;  // Images.
  int32_t height = 0, width = 0;
  int32_t size = 0;  // Pixels a side of the result, where it is shrunk; 0: height x width.
  float step = 1;    // Source pixels per pixel of the result; read where `size` is not 0.
  NumberType type = NumberType::kFloat;
  float scale[3] = {}, shift[3] = {};
  const uint8_t* bytes = nullptr;     // count x height x width x 3
  const BlankPair* blanks = nullptr;  // count, or nullptr: none.
  Mixing mixing = Mixing::kNone;
  const int32_t* partner = nullptr;    // count: the image that each is mixed with; kMixup and kCutmix.
  float share = 1, partner_share = 0;  // kMixup.
  PixelBox box;                        // kCutmix: what is the partner's, in pixels of the result.
  void* images = nullptr;              // Out: count x side x side x 3. Aligned to kVectorBytes.
};

// REQUIRES: count >= 1, count x height <= 2^31 - 1.
using GroupImagesLauncher = KernelStatus (*)(const GroupImages&, Stream stream);

// The one for CUDA (IMGTRAIN_WITH_CUDA_KERNELS).
KernelStatus launch_group_images(const GroupImages& arguments, Stream stream);

}  // namespace imgtrain::kernels
