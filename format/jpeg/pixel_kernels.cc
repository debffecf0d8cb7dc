#include "format/jpeg/pixel_kernels.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "format/jpeg/pixel_math.h"
#include "format/jpeg/zigzag.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "format/jpeg/pixel_kernels.cc"
#include <hwy/foreach_target.h>  // Must come before highway.h.
#include <hwy/highway.h>

#ifndef IMGPACK_PIXEL_KERNELS_ONCE
#define IMGPACK_PIXEL_KERNELS_ONCE
namespace imgpack::jpeg {

inline constexpr int kWindowsPerGroup = kOutputsPerGroup / kOutputsPerWindow;
inline constexpr int kHorizontalShift = kPlanarBits - kSampleBits;
inline constexpr int32_t kHorizontalHalf = 1 << (kHorizontalShift - 1);
inline constexpr int kLobeBits = 6;  // Fraction bits of vertical sums that can go below zero.

// Weights of the vertical pass: 16 fraction bits without sign where the filter has no negative lobes.
inline uint16_t vertical_weight(int16_t w) {
  return static_cast<uint16_t>(std::min(w << (16 - kPlanarBits), 65535));
}

// The `k`th block of a row.
inline const int16_t* block_at(const BlockRow& row, int k) {
  const size_t mcu = static_cast<size_t>(row.across == 1 ? k : k >> 1),
               within = static_cast<size_t>(row.across == 1 ? 0 : k & 1);
  return row.coefficients + mcu * row.mcu_stride + within * kBlockCoefficients;
}

inline const uint8_t* source_line(const RenderPlane& plane, int source_row) {
  return plane.src +
         static_cast<ptrdiff_t>(source_row - plane.first_source_row) * static_cast<ptrdiff_t>(plane.src_stride);
}

}  // namespace imgpack::jpeg
#endif  // IMGPACK_PIXEL_KERNELS_ONCE

#if HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128
#include "format/jpeg/pixel_kernels_scalar-inl.h"
#else
#include "format/jpeg/pixel_kernels_simd-inl.h"
#endif

HWY_BEFORE_NAMESPACE();
namespace imgpack::jpeg {
namespace HWY_NAMESPACE {

void render(const RenderJob& job, int begin, int end) {
  int16_t* const y = job.samples;
  int16_t* const cb = y + job.sample_stride;
  int16_t* const cr = cb + job.sample_stride;
  uint8_t* rgb = job.rgb + 3 * static_cast<size_t>(job.out_width) * static_cast<size_t>(begin);
  for (int o = begin; o < end; o++, rgb += 3 * static_cast<size_t>(job.out_width)) {
    resize_line(job, job.plane[0], o, y);
    if (job.components == 1) {
      spread_gray(y, job.out_width, rgb);
      continue;
    }
    resize_line(job, job.plane[1], o, cb);
    resize_line(job, job.plane[2], o, cr);
    mix_colours(y, cb, cr, job.out_width, rgb);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace imgpack::jpeg
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace imgpack::jpeg {
namespace {

HWY_EXPORT(transform_row);
HWY_EXPORT(render);

}  // namespace

void inverse_dct_row(const BlockRow& row, const int16_t* quant, uint8_t* dst, size_t dst_stride) {
  HWY_DYNAMIC_DISPATCH(transform_row)(row, quant, dst, dst_stride);
}

void render_rows(const RenderJob& job, int begin, int end) {
  HWY_DYNAMIC_DISPATCH(render)(job, begin, end);
}

}  // namespace imgpack::jpeg
#endif  // HWY_ONCE
