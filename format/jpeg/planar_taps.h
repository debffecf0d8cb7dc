// Weights for resizing one plane, in the precision and layout that the pixel kernels want.
//
// Coarser than ResampleTaps (14 bits instead of 22): the fast decoder trades the last bit of a pixel for speed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "format/jpeg/image_decoder.h"

namespace imgpack::jpeg {

inline constexpr int kPlanarBits = 14;
inline constexpr int kPlanarOne = 1 << kPlanarBits;
inline constexpr int kWideTapAlign = 32;  // Weights of a dot product are padded to whole vectors.
inline constexpr int kWindowBytes = 16;   // Of a line, that one shuffle can reach.
inline constexpr int kOutputsPerWindow = 4;
inline constexpr int kOutputsPerGroup = 16;  // Four windows: a 512-bit vector of 32-bit sums.

// Output i = sum of input[first[i] + j] * weight[i][j] / 2^14.
struct PlanarTaps {
  int outputs = 0;
  int stride = 0;  // Weights per output, zeros after `count`; even.
  std::vector<int> first, count;
  std::vector<int16_t> weight;  // Each output's sum to exactly kPlanarOne.

  const int16_t* weights_of(int output) const {
    return &weight[static_cast<size_t>(output) * static_cast<size_t>(stride)];
  }
  int first_input() const;  // The range of inputs that any output reads.
  int end_input() const;
};

// The horizontal taps as byte shuffles: each window of four outputs reads 16 bytes of the line; per pair of taps one
// shuffle spreads them and one multiply-add sums them. The layout is the same for vectors of 128 to 512 bits.
struct HorizontalPlan {
  int outputs = 0;        // Rounded up to whole groups; the surplus repeats the last output.
  bool windowed = false;  // False: some window reaches further than 16 bytes; `wide` has the weights, one dot product
                          // per output.
  const PlanarTaps* taps = nullptr;
  std::vector<int> base;         // Per window: first byte of the line.
  std::vector<int> pairs;        // Per group.
  std::vector<uint8_t> shuffle;  // Per group, pair and window: 16 bytes.
  std::vector<int16_t> weight;   // Likewise, two per output.
  std::vector<int16_t> wide;     // Per output: wide_stride weights, a multiple of kWideTapAlign.
  int wide_stride = 0;
};

// `taps` must outlive the plan.
void make_horizontal_plan(const PlanarTaps& taps, HorizontalPlan& plan);

inline int rounded_outputs(int outputs) {
  return (outputs + kOutputsPerGroup - 1) / kOutputsPerGroup * kOutputsPerGroup;
}

}  // namespace imgpack::jpeg
