#include "format/jpeg/resample_taps.h"

#include <algorithm>
#include <cmath>

#include "format/jpeg/filter_kernels.h"

namespace imgpack::jpeg {
namespace {

constexpr int kWeightAlign = 4;  // The kernels take taps in fours.

int32_t fixed_point(double weight) {
  const double scaled = weight * (1 << kWeightBits);
  return static_cast<int32_t>(weight < 0 ? -0.5 + scaled : 0.5 + scaled);
}

// Operation by operation as Pillow does it, or the last bits would differ.
template <class Kernel>
ResampleTaps make(int inputs, double begin, double end, int outputs, bool reverse) {
  const double scale = (end - begin) / outputs;
  const double filter_scale = std::max(scale, 1.0);  // Below 1 the image grows: plain interpolation.
  const double support = Kernel::kSupport * filter_scale;
  const double inverse = 1.0 / filter_scale;
  ResampleTaps taps;
  taps.outputs = outputs;
  const int most = std::min(static_cast<int>(std::ceil(support)) * 2 + 1, inputs);
  taps.stride = (most + kWeightAlign - 1) / kWeightAlign * kWeightAlign;
  taps.first.resize(static_cast<size_t>(outputs));
  taps.count.resize(static_cast<size_t>(outputs));
  taps.weight.assign(static_cast<size_t>(outputs) * static_cast<size_t>(taps.stride), 0);
  std::vector<double> raw(static_cast<size_t>(most));
  for (int i = 0; i < outputs; i++) {
    const double centre = begin + (i + 0.5) * scale;
    const int low = std::clamp(nearest_pixel(centre - support), 0, inputs - 1);
    const int high = std::clamp(nearest_pixel(centre + support), low + 1, inputs);
    const int count = std::min(high - low, most);
    double sum = 0;
    for (int j = 0; j < count; j++) {
      raw[static_cast<size_t>(j)] = Kernel::weight((j + low - centre + 0.5) * inverse);
      sum += raw[static_cast<size_t>(j)];
    }
    const size_t at = static_cast<size_t>(reverse ? outputs - 1 - i : i);
    taps.first[at] = low;
    taps.count[at] = count;
    int32_t* weight = &taps.weight[at * static_cast<size_t>(taps.stride)];
    for (int j = 0; j < count; j++) {
      const double w = raw[static_cast<size_t>(j)];
      weight[j] = fixed_point(sum != 0.0 ? w / sum : w);
    }
  }
  return taps;
}

}  // namespace

int ResampleTaps::first_input() const {
  return *std::min_element(first.begin(), first.end());
}

int ResampleTaps::end_input() const {
  int end = 0;
  for (int i = 0; i < outputs; i++) {
    end = std::max(end, first[static_cast<size_t>(i)] + count[static_cast<size_t>(i)]);
  }
  return end;
}

ResampleTaps make_taps(int inputs, double begin, double end, int outputs, Filter filter, bool reverse) {
  switch (filter) {
    case Filter::kBicubic:
      return make<CubicKernel>(inputs, begin, end, outputs, reverse);
    case Filter::kLanczos:
      return make<LanczosKernel>(inputs, begin, end, outputs, reverse);
    case Filter::kBilinear:
      break;
  }
  return make<TriangleKernel>(inputs, begin, end, outputs, reverse);
}

}  // namespace imgpack::jpeg
