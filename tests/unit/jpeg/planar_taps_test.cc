#include "format/jpeg/planar_taps.h"

#include <gmock/gmock.h>

#include <cmath>
#include <numeric>
#include <optional>
#include <string>

#include "format/jpeg/axis_weights.h"
#include "format/jpeg/resample_taps.h"
#include "format/jpeg/simd_target.h"

namespace imgpack::jpeg {
namespace {

PlanarTaps taps_of(const PlanarAxis& axis, const PlanarSamples& samples, int outputs, Filter filter = Filter::kBilinear,
                   bool reverse = false) {
  PlanarTaps taps;
  const ComponentTaps component{samples, &taps};
  AxisWeights().make(axis, outputs, filter, reverse, {&component, 1});
  return taps;
}

std::vector<int> weights(const PlanarTaps& taps, int output) {
  return {taps.weights_of(output), taps.weights_of(output) + taps.count[static_cast<size_t>(output)]};
}

TEST(PlanarTaps, WeightsOfEachOutputSumToOneExactly) {
  for (Filter filter : {Filter::kBilinear, Filter::kBicubic, Filter::kLanczos}) {
    for (int subsampling : {1, 2}) {
      for (int pixels : {1, 2, 3, 17, 500}) {
        for (int outputs : {1, 16, 224}) {
          const int samples = (pixels + subsampling - 1) / subsampling;
          const PlanarTaps taps =
              taps_of({0, pixels, 0, static_cast<double>(pixels)}, {subsampling, samples}, outputs, filter);
          for (int o = 0; o < outputs; o++) {
            const auto w = weights(taps, o);
            EXPECT_EQ(std::accumulate(w.begin(), w.end(), 0), kPlanarOne);
            EXPECT_GE(taps.first[static_cast<size_t>(o)], 0);
            EXPECT_LE(taps.first[static_cast<size_t>(o)] + taps.count[static_cast<size_t>(o)], samples);
            EXPECT_LE(taps.count[static_cast<size_t>(o)], taps.stride);
          }
        }
      }
    }
  }
}

TEST(PlanarTaps, FullResolutionWeightsAreTheReferencesInLessPrecision) {
  for (Filter filter : {Filter::kBilinear, Filter::kBicubic, Filter::kLanczos}) {
    const PlanarTaps taps = taps_of({20, 333, 25.5, 340.25}, {1, 400}, 97, filter, true);
    const ResampleTaps exact = make_taps(333, 5.5, 320.25, 97, filter, true);
    for (size_t o = 0; o < 97; o++) {
      ASSERT_EQ(taps.first[o], exact.first[o] + 20);
      ASSERT_EQ(taps.count[o], exact.count[o]);
      for (int j = 0; j < taps.count[o]; j++) {
        const double expected = exact.weight[o * static_cast<size_t>(exact.stride) + static_cast<size_t>(j)] / 256.0;
        EXPECT_NEAR(taps.weights_of(static_cast<int>(o))[j], expected, 1 + taps.count[o]);
      }
    }
  }
}

TEST(PlanarTaps, HalvedSamplesAtTheirOwnPixelsGetSmoothUpsamplingsWeights) {
  // Four pixels over two samples, one output per pixel: 1, 3:1, 1:3, 1.
  const PlanarTaps taps = taps_of({0, 4, 0, 4}, {2, 2}, 4);
  const int quarter = kPlanarOne / 4;
  const auto both = [&](int o) {
    std::vector<int> w(2, 0);
    for (int j = 0; j < taps.count[static_cast<size_t>(o)]; j++)
      w[static_cast<size_t>(taps.first[static_cast<size_t>(o)] + j)] = taps.weights_of(o)[j];
    return w;
  };
  EXPECT_THAT(both(0), testing::ElementsAre(4 * quarter, 0));
  EXPECT_THAT(both(1), testing::ElementsAre(3 * quarter, quarter));
  EXPECT_THAT(both(2), testing::ElementsAre(quarter, 3 * quarter));
  EXPECT_THAT(both(3), testing::ElementsAre(0, 4 * quarter));
}

TEST(PlanarTaps, OneSampleForTheWholeAxisGetsAllOfTheWeight) {
  for (int pixels : {1, 2}) {
    const PlanarTaps taps = taps_of({0, pixels, 0, static_cast<double>(pixels)}, {2, 1}, 3);
    for (int o = 0; o < 3; o++) EXPECT_THAT(weights(taps, o), testing::ElementsAre(kPlanarOne)) << pixels << " " << o;
  }
}

TEST(PlanarTaps, EverySimdTargetGivesTheSameWeights) {
#if defined(__x86_64__)
  ASSERT_GE(simd_targets().size(), 2u) << "only one target: nothing is compared";
#endif
  const PlanarAxis axes[] = {
      {0, 1, 0, 1}, {0, 500, 0, 500}, {7, 93, 7.25, 99.5}, {33, 331, 33, 364}, {1, 1200, 1, 1200}};
  for (const PlanarAxis& axis : axes) {
    for (Filter filter : {Filter::kBilinear, Filter::kBicubic, Filter::kLanczos}) {
      for (int subsampling : {1, 2}) {
        for (int outputs : {1, 15, 224}) {
          std::optional<PlanarTaps> expected;
          for (const std::string& target : simd_targets()) {
            const ForcedSimdTarget forced(target);
            const PlanarTaps taps = taps_of(axis, {subsampling, 1300 / subsampling}, outputs, filter, true);
            if (!expected) expected = taps;
            EXPECT_EQ(taps.first, expected->first) << target;
            EXPECT_EQ(taps.count, expected->count) << target;
            EXPECT_EQ(taps.weight, expected->weight) << target;
          }
        }
      }
    }
  }
}

TEST(HorizontalPlan, WindowsAreUsedWhereFourOutputsReachNoFurtherThanSixteenSamples) {
  HorizontalPlan plan;
  const PlanarTaps mild = taps_of({0, 600, 0, 600}, {1, 600}, 224);
  make_horizontal_plan(mild, plan);
  EXPECT_TRUE(plan.windowed);
  EXPECT_EQ(plan.outputs, 224);
  const PlanarTaps strong = taps_of({0, 2000, 0, 2000}, {1, 2000}, 224);
  make_horizontal_plan(strong, plan);
  EXPECT_FALSE(plan.windowed);
  const PlanarTaps odd = taps_of({0, 50, 0, 50}, {1, 50}, 17);
  make_horizontal_plan(odd, plan);
  EXPECT_EQ(plan.outputs, 32);
}

TEST(HorizontalPlan, ShufflesAndWeightsReproduceTheTaps) {
  for (Filter filter : {Filter::kBilinear, Filter::kBicubic}) {
    for (bool reverse : {false, true}) {
      const PlanarTaps taps = taps_of({0, 300, 0, 300}, {1, 300}, 203, filter, reverse);
      HorizontalPlan plan;
      make_horizontal_plan(taps, plan);
      ASSERT_TRUE(plan.windowed);
      size_t at = 0;
      for (int g = 0; g < plan.outputs / kOutputsPerGroup; g++) {
        std::vector<std::vector<int>> sums(kOutputsPerGroup, std::vector<int>(300 + kWindowBytes, 0));
        for (int pair = 0; pair < plan.pairs[static_cast<size_t>(g)]; pair++) {
          for (size_t i = 0; i < kOutputsPerGroup; i++, at += 4) {
            const int base = plan.base[(static_cast<size_t>(g) * kOutputsPerGroup + i) / kOutputsPerWindow];
            for (size_t k = 0; k < 2; k++)
              sums[i][static_cast<size_t>(base + plan.shuffle[at + 2 * k])] += plan.weight[at / 2 + k];
          }
        }
        for (int i = 0; i < kOutputsPerGroup; i++) {
          const int o = std::min(g * kOutputsPerGroup + i, taps.outputs - 1);
          for (int x = 0; x < 300; x++) {
            const int j = x - taps.first[static_cast<size_t>(o)];
            const int expected = j >= 0 && j < taps.count[static_cast<size_t>(o)] ? taps.weights_of(o)[j] : 0;
            ASSERT_EQ(sums[static_cast<size_t>(i)][static_cast<size_t>(x)], expected) << o << " " << x;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace imgpack::jpeg
