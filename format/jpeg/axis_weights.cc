// Plain loops over outputs that lie side by side: the compiler makes vectors of them, once for each SIMD target. Where
// an output has no weight, it has a zero, so that no loop's length depends on the output.
#include "format/jpeg/axis_weights.h"

#include <algorithm>
#include <climits>
#include <cmath>

#include "format/jpeg/filter_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "format/jpeg/axis_weights.cc"
#include <hwy/foreach_target.h>  // Must come before highway.h.
#include <hwy/highway.h>

#ifndef IMGPACK_AXIS_WEIGHTS_ONCE
#define IMGPACK_AXIS_WEIGHTS_ONCE
namespace imgpack::jpeg {

// Rows of zeros before and after the weights, so that folding reads past both ends.
inline constexpr int kGuardRows = 4, kGuardRowsAfter = 6;

struct WeighJob {
  size_t outputs;
  int first_index, step;  // Output at place o is number first_index + step * o.
  double begin, scale, support, inverse;
  int use_length, most;
  int *low, *count;
  double *sum, *weight;  // `weight`: most rows.
};

struct RoundJob {
  size_t outputs;
  int rows;
  const double *weight, *unit;
  int *rounded, *total, *peak_at;
};

}  // namespace imgpack::jpeg
#endif  // IMGPACK_AXIS_WEIGHTS_ONCE

HWY_BEFORE_NAMESPACE();
namespace imgpack::jpeg {
namespace HWY_NAMESPACE {

template <class Kernel>
HWY_INLINE void weigh(const WeighJob& job) {
  const size_t outputs = job.outputs;
  int* HWY_RESTRICT low = job.low;
  int* HWY_RESTRICT count = job.count;
  double* HWY_RESTRICT sum = job.sum;
  for (size_t o = 0; o < outputs; o++) {
    const double centre = job.begin + (job.first_index + job.step * static_cast<int>(o) + 0.5) * job.scale;
    const int begin = std::min(std::max(nearest_pixel(centre - job.support), 0), job.use_length - 1);
    const int end = std::min(std::max(nearest_pixel(centre + job.support), begin + 1), job.use_length);
    low[o] = begin;
    count[o] = std::min(end - begin, job.most);
    sum[o] = 0;
  }
  for (int j = 0; j < job.most; j++) {
    double* HWY_RESTRICT weight = job.weight + static_cast<size_t>(j) * kOutputsPerTile;
    for (size_t o = 0; o < outputs; o++) {
      const double centre = job.begin + (job.first_index + job.step * static_cast<int>(o) + 0.5) * job.scale;
      const double w = Kernel::weight((j + low[o] - centre + 0.5) * job.inverse);
      weight[o] = j < count[o] ? w : 0.0;
      sum[o] += weight[o];
    }
  }
}

void weigh_triangle(const WeighJob& job) {
  weigh<TriangleKernel>(job);
}
void weigh_cubic(const WeighJob& job) {
  weigh<CubicKernel>(job);
}
void weigh_lanczos(const WeighJob& job) {
  weigh<LanczosKernel>(job);
}

// From pixels to samples that stand for two each: sample k has parts of pixels 2k - 1 to 2k + 2. An output whose first
// pixel is even begins with the last of those, one whose first pixel is odd with the last but one.
void fold_by_two(const double* HWY_RESTRICT weight, const int* HWY_RESTRICT first, size_t outputs, int rows,
                 double* HWY_RESTRICT folded) {
  for (int k = 0; k < rows; k++, folded += kOutputsPerTile) {
    const double* HWY_RESTRICT a = weight + static_cast<size_t>(kGuardRows + 2 * k - 3) * kOutputsPerTile;
    const double* HWY_RESTRICT b = a + kOutputsPerTile;
    const double* HWY_RESTRICT c = b + kOutputsPerTile;
    const double* HWY_RESTRICT d = c + kOutputsPerTile;
    const double* HWY_RESTRICT e = d + kOutputsPerTile;
    for (size_t o = 0; o < outputs; o++) {
      const bool odd = (first[o] & 1) != 0;
      const double p0 = odd ? b[o] : a[o], p1 = odd ? c[o] : b[o], p2 = odd ? d[o] : c[o], p3 = odd ? e[o] : d[o];
      folded[o] = 0.25 * p0 + 0.75 * p1 + 0.75 * p2 + 0.25 * p3;
    }
  }
}

void round_weights(const RoundJob& job) {
  const size_t outputs = job.outputs;
  const double* HWY_RESTRICT unit = job.unit;
  int* HWY_RESTRICT total = job.total;
  int* HWY_RESTRICT peak_at = job.peak_at;
  int peak[kOutputsPerTile];
  for (size_t o = 0; o < outputs; o++) {
    total[o] = peak_at[o] = 0;
    peak[o] = INT_MIN;
  }
  for (int j = 0; j < job.rows; j++) {
    const double* HWY_RESTRICT weight = job.weight + static_cast<size_t>(j) * kOutputsPerTile;
    int* HWY_RESTRICT rounded = job.rounded + static_cast<size_t>(j) * kOutputsPerTile;
    for (size_t o = 0; o < outputs; o++) {
      const double scaled = weight[o] * unit[o];
      const int value = static_cast<int>(scaled + std::copysign(0.5, scaled));
      rounded[o] = value;
      total[o] += value;
      peak_at[o] = value > peak[o] ? j : peak_at[o];
      peak[o] = std::max(peak[o], value);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace imgpack::jpeg
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace imgpack::jpeg {
namespace {

HWY_EXPORT(weigh_triangle);
HWY_EXPORT(weigh_cubic);
HWY_EXPORT(weigh_lanczos);
HWY_EXPORT(fold_by_two);
HWY_EXPORT(round_weights);

double support_of(Filter filter) {
  switch (filter) {
    case Filter::kBicubic:
      return CubicKernel::kSupport;
    case Filter::kLanczos:
      return LanczosKernel::kSupport;
    case Filter::kBilinear:
      break;
  }
  return TriangleKernel::kSupport;
}

}  // namespace

void AxisWeights::make(const PlanarAxis& axis, int outputs, Filter filter, bool reverse,
                       std::span<const ComponentTaps> components) {
  const double scale = (axis.to - axis.from) / outputs;
  const double filter_scale = std::max(scale, 1.0);  // Below 1 the image grows: plain interpolation.
  const double support = support_of(filter) * filter_scale;
  most_ = std::min(static_cast<int>(std::ceil(support)) * 2 + 1, axis.use_length);
  const size_t begin = kGuardRows * kOutputsPerTile, end = begin + static_cast<size_t>(most_) * kOutputsPerTile;
  weight_.resize(end + kGuardRowsAfter * kOutputsPerTile);
  std::fill_n(weight_.begin(), begin, 0.0);
  std::fill(weight_.begin() + static_cast<ptrdiff_t>(end), weight_.end(), 0.0);
  const size_t all = static_cast<size_t>(outputs);
  for (const ComponentTaps& component : components) {
    component.taps->outputs = outputs;
    component.taps->first.resize(all);
    component.taps->count.resize(all);
  }
  for (size_t done = 0; done < all; done += kOutputsPerTile) {
    const size_t now = std::min(kOutputsPerTile, all - done);
    const int place = static_cast<int>(done);
    const WeighJob job{now,
                       reverse ? outputs - 1 - place : place,
                       reverse ? -1 : 1,
                       axis.from - axis.use_begin,
                       scale,
                       support,
                       1.0 / filter_scale,
                       axis.use_length,
                       most_,
                       first_,
                       count_,
                       unit_,
                       &weight_[begin]};
    switch (filter) {
      case Filter::kBilinear:
        HWY_DYNAMIC_DISPATCH(weigh_triangle)(job);
        break;
      case Filter::kBicubic:
        HWY_DYNAMIC_DISPATCH(weigh_cubic)(job);
        break;
      case Filter::kLanczos:
        HWY_DYNAMIC_DISPATCH(weigh_lanczos)(job);
        break;
    }
    for (size_t o = 0; o < now; o++) {
      first_[o] += axis.use_begin;
      unit_[o] = unit_[o] != 0.0 ? kPlanarOne / unit_[o] : 0.0;
    }
    for (const ComponentTaps& component : components) store(component, done, now);
  }
}

// Outputs that reach the first or last sample: what a pixel would give to a sample beyond, it gives to its own.
void AxisWeights::fold_at_edges(const PlanarSamples& samples, size_t outputs, int rows) {
  for (size_t o = 0; o < outputs; o++) {
    const int first = first_[o], end = first + count_[o];
    if (first != 0 && end != 2 * samples.count) continue;
    const int first_sample = std::max((first - 1) >> 1, 0);
    const auto pixel = [&](int p) {
      if (p < 0) p = 0;
      if (p >= 2 * samples.count) p = 2 * samples.count - 1;
      return p >= first && p < end ? weight_[static_cast<size_t>(kGuardRows + p - first) * kOutputsPerTile + o] : 0.0;
    };
    for (int k = 0; k < rows; k++) {
      const int sample = first_sample + k, p = 2 * sample - 1;
      folded_[static_cast<size_t>(k) * kOutputsPerTile + o] =
          sample < samples.count ? 0.25 * pixel(p) + 0.75 * pixel(p + 1) + 0.75 * pixel(p + 2) + 0.25 * pixel(p + 3)
                                 : 0.0;
    }
  }
}

// The taps of outputs `begin` on, which are those of the tile.
void AxisWeights::store(const ComponentTaps& component, size_t begin, size_t outputs) {
  const PlanarSamples& samples = component.samples;
  PlanarTaps& taps = *component.taps;
  const bool fold = samples.subsampling == 2;
  const int most = fold ? most_ / 2 + 2 : most_, rows = most + most % 2;
  const double* weight = &weight_[kGuardRows * kOutputsPerTile];
  if (fold) {
    folded_.resize(static_cast<size_t>(rows) * kOutputsPerTile);
    HWY_DYNAMIC_DISPATCH(fold_by_two)(weight_.data(), first_, outputs, rows, folded_.data());
    fold_at_edges(samples, outputs, rows);
    weight = folded_.data();
  }
  rounded_.resize(static_cast<size_t>(rows) * kOutputsPerTile);
  int total[kOutputsPerTile], peak_at[kOutputsPerTile];
  HWY_DYNAMIC_DISPATCH(round_weights)({outputs, rows, weight, unit_, rounded_.data(), total, peak_at});

  taps.stride = rows;
  taps.weight.resize(static_cast<size_t>(taps.outputs) * static_cast<size_t>(rows));
  int16_t* to = &taps.weight[begin * static_cast<size_t>(rows)];
  for (size_t o = 0; o < outputs; o++, to += rows) {
    const int first = fold ? std::max((first_[o] - 1) >> 1, 0) : first_[o], end = first_[o] + count_[o];
    taps.first[begin + o] = first;
    taps.count[begin + o] = (fold ? std::min(end >> 1, samples.count - 1) + 1 : end) - first;
    for (int j = 0; j < rows; j++) to[j] = static_cast<int16_t>(rounded_[static_cast<size_t>(j) * kOutputsPerTile + o]);
    int16_t& peak = to[peak_at[o]];
    peak = static_cast<int16_t>(peak + kPlanarOne - total[o]);  // Flat areas keep their value.
  }
}

size_t AxisWeights::scratch_bytes() const {
  return sizeof(double) * (weight_.capacity() + folded_.capacity()) + sizeof(int) * rounded_.capacity();
}

}  // namespace imgpack::jpeg
#endif  // HWY_ONCE
