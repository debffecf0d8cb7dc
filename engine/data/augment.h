// Geometry of training and evaluation crops as pure functions: draws in, SampleWindow out. The distributions are
// torchvision's (RandomResizedCrop, RandomHorizontalFlip, Resize + CenterCrop, transforms of version 0.26).
#pragma once

#include <cstdint>
#include <functional>

#include "format/jpeg/image_decoder.h"

namespace imgtrain::data {

// Names one draw: every random number of a sample follows from this and nothing else.
struct SampleKey {
  uint64_t seed = 0;
  uint64_t epoch = 0;
  uint64_t sample_id = 0;
  uint32_t repeat = 0;
};

struct RandomResizedCropOptions {
  double min_scale = 0.08, max_scale = 1.0;             // Share of the image's area.
  double min_ratio = 3.0 / 4.0, max_ratio = 4.0 / 3.0;  // Width over height.
  double flip_probability = 0.5;
};

void check(const RandomResizedCropOptions& options);  // Throws Error(kUsage) that names what is out of range.

// A box of whole pixels inside the image.
struct CropBox {
  int x = 0, y = 0, width = 0, height = 0;
  bool operator==(const CropBox&) const = default;
};

// torchvision's RandomResizedCrop.get_params: ten attempts at an area and a log-uniform ratio, then the largest centre
// crop within the ratios. `uniform` gives the draws, each in [0, 1), in the order area, ratio, y, x.
CropBox random_resized_crop_box(uint32_t width, uint32_t height, const RandomResizedCropOptions& options,
                                const std::function<double()>& uniform);

// The same with the draws of a sample, and the flip.
imgpack::jpeg::SampleWindow random_resized_crop(uint32_t width, uint32_t height,
                                                const RandomResizedCropOptions& options, const SampleKey& key);

// Resize so that the short side is `resize_short`, then the centre `crop` x `crop` pixels (padding never occurs:
// REQUIRES crop <= resize_short). Integer sizes and offsets rounded as torchvision does.
imgpack::jpeg::SampleWindow resize_center_crop(uint32_t width, uint32_t height, uint32_t resize_short, uint32_t crop);

// The middle square whose side is `ratio` of the short side, rounded down, to be resized as a whole (FFCV's
// CenterCropRGBImageDecoder). REQUIRES: 0 < ratio <= 1.
imgpack::jpeg::SampleWindow center_square(uint32_t width, uint32_t height, double ratio);

}  // namespace imgtrain::data
