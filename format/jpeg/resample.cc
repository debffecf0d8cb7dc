// A weight of 22 bits does not fit the 16-bit multipliers of SIMD units, so each is split: weight = high * 2^11 + low.
// The sums of both halves are exact (or wrap exactly) in 32 bits, so the result is that of 32-bit products at half of
// their cost.
#include "format/jpeg/resample.h"

#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "format/jpeg/resample.cc"
#include <hwy/foreach_target.h>  // Must come before highway.h.
#include <hwy/highway.h>

#ifndef IMGPACK_RESAMPLE_ONCE
#define IMGPACK_RESAMPLE_ONCE
namespace imgpack::jpeg {

inline constexpr int kLowBits = 11;
inline constexpr int kTapsPerGroup = 4;  // Of the horizontal pass: 4 RGB pixels are 12 of the 16 bytes of a load.
inline constexpr int kChannels = 3;
inline constexpr int kGroupValues = 8;  // int16 per group: low 01, low 23, high 01, high 23.
inline constexpr int kPairValues = 4;   // int16 per pair of the vertical pass: low 01, high 01.
inline constexpr int32_t kHalf = 1 << (kWeightBits - 1);

struct AcrossPlan {
  int outputs, groups;  // Groups per output.
  const int* first;
  const int16_t* weights;
};

struct DownPlan {
  int count;  // Source rows of this output.
  const int16_t* weights;
};

inline int32_t whole_weight(int16_t low, int16_t high) {
  return high * (1 << kLowBits) + low;
}

inline uint8_t clip8(int32_t sum) {
  return static_cast<uint8_t>(std::clamp(sum >> kWeightBits, 0, 255));
}

}  // namespace imgpack::jpeg
#endif  // IMGPACK_RESAMPLE_ONCE

HWY_BEFORE_NAMESPACE();
namespace imgpack::jpeg {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128

void resample_across(const uint8_t* src, size_t src_stride, int rows, const AcrossPlan& plan, uint8_t* dst,
                     size_t dst_stride) {
  for (int row = 0; row < rows; row++, src += src_stride, dst += dst_stride) {
    for (int o = 0; o < plan.outputs; o++) {
      const uint8_t* pixel = src + static_cast<size_t>(plan.first[o]) * kChannels;
      const int16_t* group = plan.weights + static_cast<size_t>(o) * static_cast<size_t>(plan.groups) * kGroupValues;
      int32_t sum[kChannels] = {kHalf, kHalf, kHalf};
      for (int g = 0; g < plan.groups; g++, group += kGroupValues) {
        for (int k = 0; k < kTapsPerGroup; k++, pixel += kChannels) {
          const int32_t weight = whole_weight(group[k], group[kTapsPerGroup + k]);
          for (int c = 0; c < kChannels; c++) sum[c] += pixel[c] * weight;
        }
      }
      for (int c = 0; c < kChannels; c++) dst[o * kChannels + c] = clip8(sum[c]);
    }
  }
}

void resample_down(const uint8_t* src, size_t src_stride, size_t bytes, const DownPlan& plan, uint8_t* dst) {
  for (size_t i = 0; i < bytes; i++) {
    int32_t sum = kHalf;
    for (int j = 0; j < plan.count; j++) {
      const int16_t* pair = plan.weights + (j / 2) * kPairValues + j % 2;
      sum += src[static_cast<size_t>(j) * src_stride + i] * whole_weight(pair[0], pair[2]);
    }
    dst[i] = clip8(sum);
  }
}

#else

using D8 = hn::ScalableTag<uint8_t>;
using D16 = hn::ScalableTag<int16_t>;
using D32 = hn::ScalableTag<int32_t>;
using V8 = hn::Vec<D8>;
using V16 = hn::Vec<D16>;
using V32 = hn::Vec<D32>;
inline constexpr size_t kVectorBytes = hn::MaxLanes(D8());
inline constexpr int kRowsAtOnce = static_cast<int>(kVectorBytes / 16);  // One row in each 128-bit block.

// Sums of products of pairs, low and high halves of the weights apart.
struct Sums {
  V32 low, low_odd, high, high_odd;  // The odd ones are zero where a target adds pairs in one instruction.

  // Said, since a constructor that the compiler makes for itself is not one of the target's functions.
  HWY_INLINE Sums() { low = low_odd = high = high_odd = hn::Zero(D32()); }

  HWY_INLINE void add(V16 values, V16 low_weights, V16 high_weights) {
    low = hn::ReorderWidenMulAccumulate(D32(), values, low_weights, low, low_odd);
    high = hn::ReorderWidenMulAccumulate(D32(), values, high_weights, high, high_odd);
  }

  HWY_INLINE V32 rounded() const {
    const V32 l = hn::RearrangeToOddPlusEven(low, low_odd), h = hn::RearrangeToOddPlusEven(high, high_odd);
    const V32 sum = hn::Add(hn::Add(hn::ShiftLeft<kLowBits>(h), l), hn::Set(D32(), kHalf));
    return hn::ShiftRight<kWeightBits>(sum);
  }
};

HWY_INLINE V16 broadcast_pair(const int16_t* pair) {
  int32_t both;
  std::memcpy(&both, pair, sizeof both);
  return hn::BitCast(D16(), hn::Set(D32(), both));
}

// 16 bytes from the same place of each of kRows rows.
template <int kRows>
HWY_INLINE hn::Vec<hn::FixedTag<uint8_t, 16 * kRows>> load_blocks(const uint8_t* const* rows, size_t at) {
  const hn::FixedTag<uint8_t, 16 * kRows> d;
  if constexpr (kRows == 1) {
    return hn::LoadU(d, rows[0] + at);
  } else {
    return hn::Combine(d, load_blocks<kRows / 2>(rows + kRows / 2, at), load_blocks<kRows / 2>(rows, at));
  }
}

// Shuffles of four RGB pixels into 16-bit pairs: R0 R1 G0 G1 B0 B1 0 0, and the same of pixels 2 and 3.
alignas(16) inline constexpr uint8_t kPixels01[16] = {0, 128, 3, 128, 1,   128, 4,   128,
                                                      2, 128, 5, 128, 128, 128, 128, 128};
alignas(16) inline constexpr uint8_t kPixels23[16] = {6, 128, 9,  128, 7,   128, 10,  128,
                                                      8, 128, 11, 128, 128, 128, 128, 128};

alignas(16) inline constexpr uint8_t kEvenToLower[16] = {0,   2,   4,   6,   8,   10,  12,  14,
                                                         128, 128, 128, 128, 128, 128, 128, 128};
alignas(16) inline constexpr uint8_t kEvenToUpper[16] = {128, 128, 128, 128, 128, 128, 128, 128,
                                                         0,   2,   4,   6,   8,   10,  12,  14};

void resample_across(const uint8_t* src, size_t src_stride, int rows, const AcrossPlan& plan, uint8_t* dst,
                     size_t dst_stride) {
  const D8 d8;
  const D16 d16;
  const hn::Rebind<uint8_t, D32> d8_out;
  const V8 pixels01 = hn::LoadDup128(d8, kPixels01), pixels23 = hn::LoadDup128(d8, kPixels23);
  for (int row = 0; row < rows; row += kRowsAtOnce) {
    const uint8_t* from[kRowsAtOnce];
    uint8_t* to[kRowsAtOnce];
    for (int r = 0; r < kRowsAtOnce; r++) {  // Past the last row: the last row again.
      const size_t n = static_cast<size_t>(std::min(row + r, rows - 1));
      from[r] = src + n * src_stride;
      to[r] = dst + n * dst_stride;
    }
    const int16_t* group = plan.weights;
    for (int o = 0; o < plan.outputs; o++) {
      size_t at = static_cast<size_t>(plan.first[o]) * kChannels;
      Sums sums;
      for (int g = 0; g < plan.groups; g++, group += kGroupValues, at += kTapsPerGroup * kChannels) {
        const V8 pixels = load_blocks<kRowsAtOnce>(from, at);
        sums.add(hn::BitCast(d16, hn::TableLookupBytesOr0(pixels, pixels01)), broadcast_pair(group),
                 broadcast_pair(group + 4));
        sums.add(hn::BitCast(d16, hn::TableLookupBytesOr0(pixels, pixels23)), broadcast_pair(group + 2),
                 broadcast_pair(group + 6));
      }
      alignas(64) uint8_t rgbx[kVectorBytes / 4];
      hn::StoreU(hn::DemoteTo(d8_out, sums.rounded()), d8_out, rgbx);
      // The fourth byte is overwritten by the next pixel; after the last one it falls into the row's padding.
      for (int r = 0; r < kRowsAtOnce; r++) std::memcpy(to[r] + o * kChannels, rgbx + 4 * r, 4);
    }
  }
}

// The sixteen values of each 128-bit block of `a`, then `b`, as bytes, clipped to 0..255.
HWY_INLINE V8 pack_blocks(V16 a, V16 b) {
  const D8 d8;
  const D16 d16;
  const V16 zero = hn::Zero(d16), most = hn::Set(d16, 255);
  const V8 low = hn::BitCast(d8, hn::Min(hn::Max(a, zero), most)),
           high = hn::BitCast(d8, hn::Min(hn::Max(b, zero), most));
  return hn::Or(hn::TableLookupBytesOr0(low, hn::LoadDup128(d8, kEvenToLower)),
                hn::TableLookupBytesOr0(high, hn::LoadDup128(d8, kEvenToUpper)));
}

// kVectorBytes bytes of one output row.
HWY_INLINE void down_vector(const uint8_t* src, size_t src_stride, const DownPlan& plan, uint8_t* dst) {
  const D8 d8;
  const D16 d16;
  const V8 zero = hn::Zero(d8);
  Sums sums[4];
  const int16_t* pair = plan.weights;
  for (int j = 0; j < plan.count; j += 2, src += 2 * src_stride, pair += kPairValues) {
    const V8 a = hn::LoadU(d8, src);
    const V8 b = j + 1 < plan.count ? hn::LoadU(d8, src + src_stride) : zero;
    const V16 low = broadcast_pair(pair), high = broadcast_pair(pair + 2);
    const V8 lower = hn::InterleaveLower(d8, a, b), upper = hn::InterleaveUpper(d8, a, b);
    sums[0].add(hn::BitCast(d16, hn::InterleaveLower(d8, lower, zero)), low, high);
    sums[1].add(hn::BitCast(d16, hn::InterleaveUpper(d8, lower, zero)), low, high);
    sums[2].add(hn::BitCast(d16, hn::InterleaveLower(d8, upper, zero)), low, high);
    sums[3].add(hn::BitCast(d16, hn::InterleaveUpper(d8, upper, zero)), low, high);
  }
  // Interleaving and packing work within 128-bit blocks alike, so the bytes end where they began.
  const V16 first = hn::ReorderDemote2To(d16, sums[0].rounded(), sums[1].rounded());
  const V16 second = hn::ReorderDemote2To(d16, sums[2].rounded(), sums[3].rounded());
  hn::StoreU(pack_blocks(first, second), d8, dst);
}

void resample_down(const uint8_t* src, size_t src_stride, size_t bytes, const DownPlan& plan, uint8_t* dst) {
  // `dst` may lie beside memory of other threads: the last vector overlaps the one before instead of running over.
  if (bytes >= kVectorBytes) {
    for (size_t i = 0; i + kVectorBytes <= bytes; i += kVectorBytes) down_vector(src + i, src_stride, plan, dst + i);
    down_vector(src + bytes - kVectorBytes, src_stride, plan, dst + bytes - kVectorBytes);
  } else {
    uint8_t whole[kVectorBytes];
    down_vector(src, src_stride, plan, whole);
    std::memcpy(dst, whole, bytes);
  }
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace imgpack::jpeg
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace imgpack::jpeg {
namespace {

HWY_EXPORT(resample_across);
HWY_EXPORT(resample_down);

constexpr size_t kNarrowSlack = 64;  // A vector of the vertical pass reads past a narrow row; also the fourth byte.

int16_t low_half(int32_t weight) {
  return static_cast<int16_t>(weight & ((1 << kLowBits) - 1));
}
int16_t high_half(int32_t weight) {
  return static_cast<int16_t>(weight >> kLowBits);
}

// Weights in groups of taps, as many for every output. Where the groups of an output at the right edge would reach past
// the row's `pixels`, they begin further left, with zeros. Returns groups per output.
int split_across(ResampleTaps& taps, int pixels, std::vector<int16_t>& out) {
  const int most = *std::max_element(taps.count.begin(), taps.count.end());
  const int groups = (most + kTapsPerGroup - 1) / kTapsPerGroup, reach = groups * kTapsPerGroup;
  out.assign(static_cast<size_t>(taps.outputs) * static_cast<size_t>(groups) * kGroupValues, 0);
  int16_t* to = out.data();
  for (size_t o = 0; o < static_cast<size_t>(taps.outputs); o++, to += groups * kGroupValues) {
    const int32_t* weight = &taps.weight[o * static_cast<size_t>(taps.stride)];
    const int zeros = std::clamp(taps.first[o] + reach - pixels, 0, taps.first[o]);
    taps.first[o] -= zeros;
    for (int j = 0; j < taps.count[o]; j++) {
      const int tap = zeros + j, at = tap / kTapsPerGroup * kGroupValues + tap % kTapsPerGroup;
      to[at] = low_half(weight[j]);
      to[at + kTapsPerGroup] = high_half(weight[j]);
    }
  }
  return groups;
}

void split_down(const ResampleTaps& taps, std::vector<int16_t>& out) {
  out.resize(taps.weight.size() * 2);
  for (size_t i = 0; i < taps.weight.size(); i++) {
    const size_t at = i / 2 * kPairValues + i % 2;
    out[at] = low_half(taps.weight[i]);
    out[at + 2] = high_half(taps.weight[i]);
  }
}

}  // namespace

void Resampler::begin(const SampleWindow& window, int out_width, int out_height, Filter filter) {
  across_ =
      make_taps(window.use_width, window.x0 - window.use_x, window.x1 - window.use_x, out_width, filter, window.flip);
  down_ = make_taps(window.use_height, window.y0 - window.use_y, window.y1 - window.use_y, out_height, filter, false);
  const int column = across_.first_input(), row = down_.first_input();
  first_column_ = window.use_x + column;
  end_column_ = window.use_x + across_.end_input();
  first_row_ = window.use_y + row;
  end_row_ = window.use_y + down_.end_input();
  for (int& first : across_.first) first -= column;
  for (int& first : down_.first) first -= row;
  across_groups_ = split_across(across_, end_column_ - first_column_, across_pairs_);
  split_down(down_, down_pairs_);
  narrow_stride_ = (static_cast<size_t>(out_width) * kChannels + kNarrowSlack + 63) / 64 * 64;
  const size_t bytes = narrow_stride_ * static_cast<size_t>(end_row_ - first_row_);
  if (narrow_.size() < bytes) narrow_.resize(bytes);
  pushed_ = 0;
}

void Resampler::push_rows(const uint8_t* pixels, size_t stride, int rows) {
  rows = std::min(rows, end_row_ - first_row_ - pushed_);
  if (rows <= 0) return;
  const AcrossPlan plan{across_.outputs, across_groups_, across_.first.data(), across_pairs_.data()};
  uint8_t* narrow = narrow_.data() + narrow_stride_ * static_cast<size_t>(pushed_);
  HWY_DYNAMIC_DISPATCH(resample_across)(pixels, stride, rows, plan, narrow, narrow_stride_);
  pushed_ += rows;
}

void Resampler::finish(uint8_t* rgb) {
  const size_t bytes = static_cast<size_t>(across_.outputs) * kChannels;
  for (int o = 0; o < down_.outputs; o++) {
    const size_t at = static_cast<size_t>(o);
    const DownPlan plan{down_.count[at], &down_pairs_[at * static_cast<size_t>(down_.stride) * 2]};
    const uint8_t* src = narrow_.data() + narrow_stride_ * static_cast<size_t>(down_.first[at]);
    HWY_DYNAMIC_DISPATCH(resample_down)(src, narrow_stride_, bytes, plan, rgb + at * bytes);
  }
}

size_t Resampler::scratch_bytes() const {
  return narrow_.capacity() + 2 * (across_pairs_.capacity() + down_pairs_.capacity()) +
         4 * (across_.weight.capacity() + down_.weight.capacity());
}

}  // namespace imgpack::jpeg
#endif  // HWY_ONCE
