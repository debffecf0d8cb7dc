#include "engine/data/random_key.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <numeric>
#include <vector>

namespace imgtrain::data {
namespace {

using Words = std::array<uint32_t, 4>;

// The first answers are those of kat_vectors in the authors' Random123 1.14 (philox4x32, 10 rounds).
TEST(Philox, GivesTheKnownAnswers) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}), (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(KeyedRandom, SameKeyGivesTheSameStream) {
  KeyedRandom a(7, Purpose::kCrop, 3, 99, 1), b(7, Purpose::kCrop, 3, 99, 1);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(a.next_u32(), b.next_u32());
}

TEST(KeyedRandom, AnyChangeOfTheKeyGivesAnotherStream) {
  const uint64_t high = uint64_t{1} << 63;
  std::vector<KeyedRandom> streams = {
      {7, Purpose::kCrop, 3, 99, 1},  {8, Purpose::kCrop, 3, 99, 1},        {7 | high, Purpose::kCrop, 3, 99, 1},
      {7, Purpose::kFlip, 3, 99, 1},  {7, Purpose::kCrop, 4, 99, 1},        {7, Purpose::kCrop, 3 | high, 99, 1},
      {7, Purpose::kCrop, 3, 100, 1}, {7, Purpose::kCrop, 3, 99 | high, 1}, {7, Purpose::kCrop, 3, 99, 2},
  };
  std::vector<uint64_t> first;
  for (KeyedRandom& stream : streams) first.push_back(stream.next_u32() | uint64_t{stream.next_u32()} << 32);
  std::sort(first.begin(), first.end());
  EXPECT_EQ(std::unique(first.begin(), first.end()), first.end());
}

TEST(KeyedRandom, UniformFillsTheUnitIntervalEvenly) {
  KeyedRandom random(1, Purpose::kUser, 0);
  constexpr int kDraws = 100000, kBins = 20;
  std::vector<int> bins(kBins);
  for (int i = 0; i < kDraws; ++i) {
    const double value = random.uniform();
    ASSERT_GE(value, 0.0);
    ASSERT_LT(value, 1.0);
    ++bins[static_cast<size_t>(value * kBins)];
  }
  double chi2 = 0;
  for (const int bin : bins) chi2 += std::pow(bin - kDraws / kBins, 2) / (kDraws / kBins);
  EXPECT_LT(chi2, 43.8);  // 19 degrees of freedom, p = 0.001.
}

TEST(KeyedRandom, BelowReachesEveryValueEquallyOften) {
  for (const uint32_t bound : {1u, 2u, 3u, 7u, 100u}) {
    KeyedRandom random(2, Purpose::kUser, bound);
    const int draws = 3000 * static_cast<int>(bound);
    std::vector<int> seen(bound);
    for (int i = 0; i < draws; ++i) ++seen.at(random.below(bound));
    EXPECT_THAT(seen, testing::Each(testing::AllOf(testing::Gt(2750), testing::Lt(3250)))) << bound;
  }
  KeyedRandom random(3, Purpose::kUser, 0);
  for (int i = 0; i < 1000; ++i) ASSERT_LT(random.below(0xfffffff0u), 0xfffffff0u);
}

TEST(Shuffle, GivesEveryOrderEquallyOften) {
  std::map<std::vector<int>, int> seen;
  for (uint64_t i = 0; i < 24000; ++i) {
    std::vector<int> values = {0, 1, 2, 3};
    KeyedRandom random(4, Purpose::kUser, i);
    shuffle(std::span(values), random);
    ++seen[values];
  }
  ASSERT_EQ(seen.size(), 24u);
  for (const auto& [order, count] : seen) EXPECT_NEAR(count, 1000, 150);
}

}  // namespace
}  // namespace imgtrain::data
