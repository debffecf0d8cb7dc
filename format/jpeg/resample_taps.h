// The weights of an antialiased resize along one axis, bit for bit those of Pillow's Resample.c.
//
//   output i  =  sum over j < count[i] of  input[first[i] + j] * weight[i][j] / 2^22   (rounded, clipped to 0..255)
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "format/jpeg/image_decoder.h"

namespace imgpack::jpeg {

inline constexpr int kWeightBits = 22;  // Pillow's PRECISION_BITS: 32 bits less 8 of the sample and 2 of headroom.

struct ResampleTaps {
  int outputs = 0;
  int stride = 0;  // Weights per output, zeros after `count`.
  std::vector<int> first;
  std::vector<int> count;  // At least 1.
  std::vector<int32_t> weight;

  int first_input() const;  // The range of inputs that any output reads.
  int end_input() const;
};

// `inputs`: length of the line that may be read. [begin, end): the part of it that maps onto the outputs, in input
// coordinates. `reverse` stores the outputs last to first (a flip).
// REQUIRES 0 <= begin < end <= inputs, outputs >= 1. Computed in double precision without fused operations, so that
// every CPU gets the same weights.
ResampleTaps make_taps(int inputs, double begin, double end, int outputs, Filter filter, bool reverse);

}  // namespace imgpack::jpeg
