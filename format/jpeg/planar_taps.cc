#include "format/jpeg/planar_taps.h"

#include <algorithm>
#include <cstring>

namespace imgpack::jpeg {
namespace {

int rounded_up(int n, int to) {
  return (n + to - 1) / to * to;
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

int PlanarTaps::first_input() const {
  return *std::min_element(first.begin(), first.end());
}

int PlanarTaps::end_input() const {
  int end = 0;
  for (size_t i = 0; i < first.size(); i++) end = std::max(end, first[i] + count[i]);
  return end;
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
  if (!plan.windowed) {
    plan.wide_stride = rounded_up(taps.stride, kWideTapAlign);
    plan.wide.assign(static_cast<size_t>(taps.outputs) * static_cast<size_t>(plan.wide_stride), 0);
    for (int o = 0; o < taps.outputs; o++)
      std::copy_n(taps.weights_of(o), taps.stride,
                  &plan.wide[static_cast<size_t>(o) * static_cast<size_t>(plan.wide_stride)]);
    return;
  }
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
