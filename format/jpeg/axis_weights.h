// The weights of an antialiased resize along one axis, computed once for all components of an image: in double
// precision, as make_taps (resample_taps.h) has them, before they become the integers of each component's taps.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "format/jpeg/image_decoder.h"
#include "format/jpeg/planar_taps.h"

namespace imgpack::jpeg {

// Outputs are worked on in tiles, side by side in rows of so many, so that a vector holds the same weight of several of
// them and all that is between the geometry and the taps stays in the nearest cache.
inline constexpr size_t kOutputsPerTile = 64;

// One axis of a window.
struct PlanarAxis {
  int use_begin = 0, use_length = 0;  // Pixels that may be read.
  double from = 0, to = 0;            // The stretch of pixels that maps onto the outputs.
};

// The samples of one component along it.
struct PlanarSamples {
  int subsampling = 1;  // Pixels per sample: 1 or 2.
  int count = 0;
};

// What one component gets of it; `first` of its taps counts samples. Where a sample stands for two pixels, the weights
// are those of libjpeg's smooth upsampling (3/4 of the nearer sample, 1/4 of the next) followed by the resize, in one
// step. So one sample outside of the window may be read, as libjpeg does.
struct ComponentTaps {
  PlanarSamples samples;
  PlanarTaps* taps;
};

// Reused from image to image; not thread-safe. Every SIMD target gives the same weights.
class AxisWeights {
 public:
  // `reverse`: the last output first. REQUIRES outputs >= 1.
  void make(const PlanarAxis& axis, int outputs, Filter filter, bool reverse,
            std::span<const ComponentTaps> components);

  size_t scratch_bytes() const;

 private:
  void fold_at_edges(const PlanarSamples& samples, size_t outputs, int rows);
  void store(const ComponentTaps& component, size_t begin, size_t outputs);

  int most_ = 0;                  // Pixels of any output.
  int first_[kOutputsPerTile];    // Pixel.
  int count_[kOutputsPerTile];    // Pixels.
  double unit_[kOutputsPerTile];  // By which weights are multiplied so that they sum to kPlanarOne.
  std::vector<double> weight_;    // Row kGuardRows + j: weight of pixel first_ + j. Zero where there is none.
  std::vector<double> folded_;    // Row j: weight of a component's sample, counted from its first.
  std::vector<int> rounded_;      // The same as integers.
};

}  // namespace imgpack::jpeg
