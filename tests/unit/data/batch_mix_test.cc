#include "engine/data/batch_mix.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "engine/data/random_key.h"

namespace imgtrain::data {
namespace {

MixOptions both(MixStyle style) {
  MixOptions options;
  options.mixup_alpha = 0.2;
  options.cutmix_alpha = 1;
  options.style = style;
  return options;
}

TEST(BatchMix, IsAFunctionOfSeedStepAndGroupAlone) {
  const MixOptions options = both(MixStyle::kComposer);
  const GroupMix first = mix_group(options, 32, 64, 64, {7, 100, 3}),
                 again = mix_group(options, 32, 64, 64, {7, 100, 3});
  EXPECT_EQ(first.kind, again.kind);
  EXPECT_EQ(first.share, again.share);
  EXPECT_EQ(first.box, again.box);
  EXPECT_EQ(first.partner, again.partner);
  for (const GroupKey key : {GroupKey{8, 100, 3}, GroupKey{7, 101, 3}, GroupKey{7, 100, 2}})
    EXPECT_NE(first.share, mix_group(options, 32, 64, 64, key).share);
}

TEST(BatchMix, PartnersArePermutationsOfTheGroupInTheStylesOrder) {
  for (const MixStyle style : {MixStyle::kTimm, MixStyle::kTorchvision, MixStyle::kComposer}) {
    const GroupMix mix = mix_group(both(style), 5, 32, 32, {1, 1, 0});
    const std::set<uint32_t> all(mix.partner.begin(), mix.partner.end());
    EXPECT_EQ(all, (std::set<uint32_t>{0, 1, 2, 3, 4}));
  }
  EXPECT_EQ(mix_group(both(MixStyle::kTimm), 4, 32, 32, {1, 1, 0}).partner, (std::vector<uint32_t>{3, 2, 1, 0}));
  EXPECT_EQ(mix_group(both(MixStyle::kTorchvision), 4, 32, 32, {1, 1, 0}).partner, (std::vector<uint32_t>{3, 0, 1, 2}));
}

TEST(BatchMix, CutmixBoxesLieInsideAndTheShareIsWhatTheyLeave) {
  MixOptions options;
  options.cutmix_alpha = 1;
  for (uint64_t step = 0; step < 2000; ++step) {
    const GroupMix mix = mix_group(options, 4, 40, 40, {3, step, 0});
    ASSERT_EQ(mix.kind, GroupMix::Kind::kCutmix);
    ASSERT_GE(mix.box.x, 0);
    ASSERT_GE(mix.box.y, 0);
    ASSERT_LE(mix.box.x + mix.box.width, 40);
    ASSERT_LE(mix.box.y + mix.box.height, 40);
    ASSERT_DOUBLE_EQ(mix.share, 1 - mix.box.width * mix.box.height / 1600.0);
  }
}

TEST(BatchMix, KindsComeInTheSharesAskedFor) {
  MixOptions options = both(MixStyle::kTimm);
  options.probability = 0.8;
  options.cutmix_share = 0.25;
  std::array<int, 3> kinds{};
  for (uint64_t step = 0; step < 20000; ++step)
    ++kinds[static_cast<size_t>(mix_group(options, 2, 8, 8, {9, step, 0}).kind)];
  EXPECT_NEAR(kinds[0], 4000, 250);
  EXPECT_NEAR(kinds[1], 12000, 300);
  EXPECT_NEAR(kinds[2], 4000, 250);
}

TEST(BatchMix, ComposersMixupLeavesTheImageTheLargerShare) {
  MixOptions options;
  options.mixup_alpha = 0.2;
  options.style = MixStyle::kComposer;
  for (uint64_t step = 0; step < 500; ++step) ASSERT_GE(mix_group(options, 4, 8, 8, {1, step, 0}).share, 0.5);
}

// Beta(a, a) has mean 1/2 and variance 1 / (4 (2 a + 1)).
TEST(BatchMix, BetaDrawsHaveTheirMeanAndVariance) {
  for (const double alpha : {0.1, 0.2, 1.0, 2.5}) {
    KeyedRandom random(5, Purpose::kUser, 1);
    double sum = 0, squares = 0;
    constexpr int kDraws = 40000;
    for (int i = 0; i < kDraws; ++i) {
      const double x = beta_draw(alpha, [&] { return random.uniform(); });
      ASSERT_GE(x, 0);
      ASSERT_LE(x, 1);
      sum += x;
      squares += (x - 0.5) * (x - 0.5);
    }
    EXPECT_NEAR(sum / kDraws, 0.5, 0.01) << alpha;
    EXPECT_NEAR(squares / kDraws, 1 / (4 * (2 * alpha + 1)), 0.004) << alpha;
  }
}

TEST(KeptBranches, FollowTheirRatesAndTheirKey) {
  const std::vector<double> rates = {0, 0.25, 0.5};
  const auto kept = kept_branches(rates, 20000, {1, 2, 3});
  for (size_t block = 0; block < 3; ++block) {
    const auto begin = kept.begin() + static_cast<ptrdiff_t>(block * 20000);
    EXPECT_NEAR(std::accumulate(begin, begin + 20000, 0.0), 20000 * (1 - rates[block]), 350);
  }
  EXPECT_EQ(kept, kept_branches(rates, 20000, {1, 2, 3}));
  EXPECT_NE(kept, kept_branches(rates, 20000, {1, 3, 3}));
}

}  // namespace
}  // namespace imgtrain::data
