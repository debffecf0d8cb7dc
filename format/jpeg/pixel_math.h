// The arithmetic of the pixel kernels in plain C++, one value at a time. This is the definition: the SIMD kernels do
// the same operations on many values, down to how they wrap and saturate, so that even a hostile stream gives equal
// pixels on every CPU.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "format/jpeg/pixel_kernels.h"

namespace imgpack::jpeg {

inline constexpr int kDctBits = 13;
inline constexpr int kColumnShift = 11;  // Of the first pass; two more bits of precision stay for the second.
inline constexpr int kRowShift = 18;
inline constexpr int32_t kLevelShift = 128;

// libjpeg's constants, in units of 2^-13.
inline constexpr int16_t k0_298631336 = 2446, k0_390180644 = 3196, k0_541196100 = 4433, k0_765366865 = 6270,
                         k0_899976223 = 7373, k1_175875602 = 9633, k1_501321110 = 12299, k1_847759065 = 15137,
                         k1_961570560 = 16069, k2_053119869 = 16819, k2_562915447 = 20995, k3_072711026 = 25172;

// Factors for a pair (a, b) -> a * first + b * second.
struct DctPair {
  int16_t first, second;
};
inline constexpr DctPair kSum04{1 << kDctBits, 1 << kDctBits};
inline constexpr DctPair kDifference04{1 << kDctBits, -(1 << kDctBits)};
inline constexpr DctPair kLow26{k0_541196100, k0_541196100 - k1_847759065};
inline constexpr DctPair kHigh26{k0_541196100 + k0_765366865, k0_541196100};
inline constexpr DctPair kSides3{k1_175875602 - k1_961570560, k1_175875602};  // Of (x7 + x3, x5 + x1).
inline constexpr DctPair kSides4{k1_175875602, k1_175875602 - k0_390180644};
inline constexpr DctPair kFirst71{k0_298631336 - k0_899976223, -k0_899976223};
inline constexpr DctPair kLast71{-k0_899976223, k1_501321110 - k0_899976223};
inline constexpr DctPair kFirst53{k2_053119869 - k2_562915447, -k2_562915447};
inline constexpr DctPair kLast53{-k2_562915447, k3_072711026 - k2_562915447};

// Colour mixing, in units of 2^-14: R = Y + 1.402 Cr and so on.
inline constexpr int16_t kRedCr = 22970, kBlueCb = 29032, kGreenCb = -5638, kGreenCr = -11700;

namespace scalar {

inline int16_t wrap16(int32_t x) {
  return static_cast<int16_t>(static_cast<uint16_t>(x));
}
inline int16_t saturate16(int32_t x) {
  return static_cast<int16_t>(std::clamp(x, -32768, 32767));
}
inline uint8_t saturate8(int32_t x) {
  return static_cast<uint8_t>(std::clamp(x, 0, 255));
}
inline int32_t add(int32_t a, int32_t b) {
  return static_cast<int32_t>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b));
}
inline int32_t subtract(int32_t a, int32_t b) {
  return static_cast<int32_t>(static_cast<uint32_t>(a) - static_cast<uint32_t>(b));
}
inline int32_t mix(int16_t a, int16_t b, DctPair pair) {
  return add(a * pair.first, b * pair.second);
}
inline int16_t multiply_round15(int16_t a, int16_t b) {
  return saturate16((a * b + (1 << 14)) >> 15);
}

// One-dimensional transform of eight values.
template <int kShift>
void transform_eight(const int16_t* x, int32_t offset, int16_t* out) {
  const int32_t bias = (1 << (kShift - 1)) + offset * (1 << kShift);
  const int16_t sum73 = wrap16(x[7] + x[3]), sum51 = wrap16(x[5] + x[1]);
  const int32_t low = mix(x[2], x[6], kLow26), high = mix(x[2], x[6], kHigh26);
  const int32_t sum = add(mix(x[0], x[4], kSum04), bias), difference = add(mix(x[0], x[4], kDifference04), bias);
  const int32_t side3 = mix(sum73, sum51, kSides3), side4 = mix(sum73, sum51, kSides4);
  const int32_t even[4] = {add(sum, high), add(difference, low), subtract(difference, low), subtract(sum, high)};
  const int32_t odd[4] = {add(mix(x[7], x[1], kLast71), side4), add(mix(x[5], x[3], kLast53), side3),
                          add(mix(x[5], x[3], kFirst53), side4), add(mix(x[7], x[1], kFirst71), side3)};
  for (int i = 0; i < 4; i++) {
    out[i] = saturate16(add(even[i], odd[i]) >> kShift);
    out[7 - i] = saturate16(subtract(even[i], odd[i]) >> kShift);
  }
}

}  // namespace scalar
}  // namespace imgpack::jpeg
