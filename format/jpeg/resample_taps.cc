#include "format/jpeg/resample_taps.h"

#include <algorithm>
#include <cmath>

namespace imgpack::jpeg {
namespace {

constexpr int kWeightAlign = 4;  // The kernels take taps in fours.

double triangle(double x) {
  x = std::fabs(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

// Keys' cubic with a = -0.5.
double cubic(double x) {
  constexpr double a = -0.5;
  x = std::fabs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

// sin(pi x) for |x| <= 3 by its series. The C library's sine differs between processors in the last bit, which a weight
// may not.
double sine_of_pi(double x) {
  constexpr double kPi = 3.14159265358979323846;
  const double whole = std::floor(x + 0.5);
  const double y = (x - whole) * kPi;  // In [-pi/2, pi/2].
  const double square = y * y;
  double term = y, sum = y;
  for (int n = 2; n <= 22; n += 2) {
    term *= -square / (n * (n + 1));
    sum += term;
  }
  return static_cast<int>(whole) % 2 == 0 ? sum : -sum;
}

double sinc(double x) {
  constexpr double kPi = 3.14159265358979323846;
  return x == 0.0 ? 1.0 : sine_of_pi(x) / (x * kPi);
}

double lanczos(double x) {
  return -3.0 <= x && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0;
}

struct Kernel {
  double (*weight)(double);
  double support;  // Zero from this distance on.
};

Kernel kernel_of(Filter filter) {
  switch (filter) {
    case Filter::kBicubic:
      return {cubic, 2.0};
    case Filter::kLanczos:
      return {lanczos, 3.0};
    case Filter::kBilinear:
      break;
  }
  return {triangle, 1.0};
}

int32_t fixed_point(double weight) {
  const double scaled = weight * (1 << kWeightBits);
  return static_cast<int32_t>(weight < 0 ? -0.5 + scaled : 0.5 + scaled);
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
  const Kernel kernel = kernel_of(filter);
  const double scale = (end - begin) / outputs;
  const double filter_scale = std::max(scale, 1.0);  // Below 1 the image grows: plain interpolation.
  const double support = kernel.support * filter_scale;
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
    const int low = std::clamp(static_cast<int>(centre - support + 0.5), 0, inputs - 1);
    const int high = std::clamp(static_cast<int>(centre + support + 0.5), low + 1, inputs);
    const int count = std::min(high - low, most);
    double sum = 0;
    for (int j = 0; j < count; j++) {
      raw[static_cast<size_t>(j)] = kernel.weight((j + low - centre + 0.5) * inverse);
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

}  // namespace imgpack::jpeg
