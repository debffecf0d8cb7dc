#include "format/jpeg/planar_taps.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "format/jpeg/filter_kernels.h"

namespace imgpack::jpeg {
namespace {

template <class Kernel>
void make(int inputs, double begin, double end, int outputs, bool reverse, PlanarTaps& taps) {
  const double scale = (end - begin) / outputs;
  const double filter_scale = std::max(scale, 1.0);
  const double support = Kernel::kSupport * filter_scale;
  const double inverse = 1.0 / filter_scale;
  const int most = std::min(static_cast<int>(std::ceil(support)) * 2 + 1, inputs);
  taps.outputs = outputs;
  taps.stride = (most + kPlanarTapAlign - 1) / kPlanarTapAlign * kPlanarTapAlign;
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
      raw[static_cast<size_t>(j)] = Kernel::weight((j + low - centre + 0.5) * inverse);
      sum += raw[static_cast<size_t>(j)];
    }
    const double unit = sum != 0.0 ? kPlanarOne / sum : 0.0;
    const size_t at = static_cast<size_t>(reverse ? outputs - 1 - i : i);
    int16_t* weight = &taps.weight[at * static_cast<size_t>(taps.stride)];
    int total = 0, peak = 0;
    for (int j = 0; j < count; j++) {
      const double scaled = raw[static_cast<size_t>(j)] * unit;
      weight[j] = static_cast<int16_t>(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
      total += weight[j];
      if (weight[j] > weight[peak]) peak = j;
    }
    weight[peak] = static_cast<int16_t>(weight[peak] + kPlanarOne - total);  // Flat areas keep their value.
    taps.first[at] = low;
    taps.count[at] = count;
  }
}

// Of a window of four outputs: the first byte they read, and one past the last.
struct Reach {
  int begin, end;
};

Reach reach_of(const PlanarTaps& taps, int first_output) {
  Reach reach{taps.first[static_cast<size_t>(std::min(first_output, taps.outputs - 1))], 0};
  for (int i = 0; i < kOutputsPerWindow; i++) {
    const size_t o = static_cast<size_t>(std::min(first_output + i, taps.outputs - 1));
    reach.begin = std::min(reach.begin, taps.first[o]);
    reach.end = std::max(reach.end, taps.first[o] + taps.count[o]);
  }
  return reach;
}

}  // namespace

void make_planar_taps(int inputs, double begin, double end, int outputs, Filter filter, bool reverse,
                      PlanarTaps& taps) {
  switch (filter) {
    case Filter::kBicubic:
      return make<CubicKernel>(inputs, begin, end, outputs, reverse, taps);
    case Filter::kLanczos:
      return make<LanczosKernel>(inputs, begin, end, outputs, reverse, taps);
    case Filter::kBilinear:
      break;
  }
  make<TriangleKernel>(inputs, begin, end, outputs, reverse, taps);
}

void make_horizontal_plan(const PlanarTaps& taps, HorizontalPlan& plan) {
  constexpr int kWindowsPerGroup = kOutputsPerGroup / kOutputsPerWindow;
  plan.taps = &taps;
  plan.outputs = rounded_outputs(taps.outputs);
  plan.windowed = true;
  const int windows = plan.outputs / kOutputsPerWindow, groups = plan.outputs / kOutputsPerGroup;
  plan.base.resize(static_cast<size_t>(windows));
  plan.pairs.resize(static_cast<size_t>(groups));
  size_t pairs = 0;
  for (int w = 0; w < windows; w++) {
    const Reach reach = reach_of(taps, w * kOutputsPerWindow);
    plan.base[static_cast<size_t>(w)] = reach.begin;
    if (reach.end - reach.begin > kWindowBytes) plan.windowed = false;
  }
  if (!plan.windowed) return;
  for (int g = 0; g < groups; g++) {
    int most = 0;
    for (int i = 0; i < kOutputsPerGroup; i++) {
      most = std::max(most, taps.count[static_cast<size_t>(std::min(g * kOutputsPerGroup + i, taps.outputs - 1))]);
    }
    plan.pairs[static_cast<size_t>(g)] = (most + 1) / 2;
    pairs += static_cast<size_t>(plan.pairs[static_cast<size_t>(g)]);
  }
  plan.shuffle.resize(pairs * kWindowsPerGroup * kWindowBytes);
  plan.weight.resize(plan.shuffle.size() / 2);
  uint8_t* shuffle = plan.shuffle.data();
  int16_t* weight = plan.weight.data();
  for (int g = 0; g < groups; g++) {
    for (int pair = 0; pair < plan.pairs[static_cast<size_t>(g)]; pair++) {
      for (int i = 0; i < kOutputsPerGroup; i++, shuffle += 4, weight += 2) {
        const int o = std::min(g * kOutputsPerGroup + i, taps.outputs - 1);
        const int base = plan.base[static_cast<size_t>((g * kOutputsPerGroup + i) / kOutputsPerWindow)];
        const int at = taps.first[static_cast<size_t>(o)] - base + 2 * pair;
        // Past the window only zero weights follow, so any byte will do there.
        const uint8_t bytes[4] = {static_cast<uint8_t>(at & 15), 0x80, static_cast<uint8_t>((at + 1) & 15), 0x80};
        std::memcpy(shuffle, bytes, sizeof bytes);
        std::memcpy(weight, taps.weights_of(o) + 2 * pair, 2 * sizeof *weight);
      }
    }
  }
}

}  // namespace imgpack::jpeg
