#include "format/ingest/pack_plan.h"

#include <gmock/gmock.h>

#include <set>

#include "format/record.h"
#include "tests/support/expect_error.h"

namespace imgpack::ingest {
namespace {

using testing::ElementsAre;

LabeledSource source_of(size_t images, uint64_t bytes_each = 1000) {
  LabeledSource source;
  source.classes.classes = {{"a", ""}, {"b", ""}};
  SourceSplit split;
  split.name = "train";
  for (size_t i = 0; i < images; ++i) {
    char name[32];
    std::snprintf(name, sizeof name, "a/%06zu.JPEG", i);
    split.images.push_back({name, 0, 1, bytes_each});
  }
  split.bytes = images * bytes_each;
  source.splits.push_back({true, std::vector<int32_t>(images, 0), {}, {}});
  source.scan.splits.push_back(std::move(split));
  return source;
}

TEST(PackPlan, ShardCountIsTheSmallestPowerOfTwoThatReachesTheTarget) {
  EXPECT_EQ(shard_count_for(0, 0, 100), 1u);
  EXPECT_EQ(shard_count_for(100, 9, 100), 1u);
  EXPECT_EQ(shard_count_for(101, 9, 100), 2u);
  EXPECT_EQ(shard_count_for(200, 9, 100), 2u);
  EXPECT_EQ(shard_count_for(201, 9, 100), 4u);
  EXPECT_EQ(shard_count_for(147'897'477'120, 1'281'167, kDefaultShardBytes), 512u);
}

TEST(PackPlan, ShardsAreNeverMoreThanImagesOrTheFormatsLimit) {
  EXPECT_EQ(shard_count_for(1000, 3, 1), 2u);
  EXPECT_EQ(shard_count_for(UINT64_MAX, UINT64_MAX, 1), kMaxShards);
}

TEST(PackPlan, EveryImageIsPlannedOnceInKeyOrderInTheShardOfItsKey) {
  const LabeledSource source = source_of(5000);
  const PackPlan plan = make_plan(source, {.seed = 3, .shard_bytes = 1'000'000});
  const PlannedSplit& split = plan.splits.at(0);
  ASSERT_EQ(split.shards(), 8u);
  ASSERT_EQ(split.order.size(), 5000u);
  std::set<uint32_t> seen;
  for (uint32_t shard = 0; shard < 8; ++shard) {
    for (uint32_t at = split.first[shard]; at < split.first[shard + 1]; ++at) {
      const PlannedImage& one = split.order[at];
      EXPECT_EQ(one.key, order_key(3, "train", source.scan.splits[0].images[one.image].name()));
      EXPECT_EQ(shard_of_key(one.key, 8), shard);
      if (at > 0) {
        EXPECT_LT(split.order[at - 1].key, one.key);
      }
      seen.insert(one.image);
    }
  }
  EXPECT_EQ(seen.size(), 5000u);
}

TEST(PackPlan, OrderDependsOnNamesAndSeedAlone) {
  const auto order = [](const LabeledSource& source, uint64_t seed) {
    const auto plan = make_plan(source, {.seed = seed});
    std::vector<uint32_t> images;
    for (const PlannedImage& one : plan.splits[0].order) images.push_back(one.image);
    return images;
  };
  EXPECT_EQ(order(source_of(100, 1000), 1), order(source_of(100, 7), 1));
  EXPECT_NE(order(source_of(100), 1), order(source_of(100), 2));
}

TEST(PackPlan, FixedCountsAreTakenBySplitThenForAll) {
  const LabeledSource source = source_of(100);
  EXPECT_EQ(make_plan(source, {.shard_count = {{"", 3}}}).splits[0].shards(), 3u);
  EXPECT_EQ(make_plan(source, {.shard_count = {{"", 3}, {"train", 5}}}).splits[0].shards(), 5u);
  EXPECT_EQ(make_plan(source, {.shard_count = {{"val", 5}}}).splits[0].shards(), 1u);
  EXPECT_ERROR(make_plan(source, {.shard_count = {{"", 0}}}), ErrorKind::kUsage,
               "number of shards: expected 1 to 65536, found 0");
}

TEST(PackPlan, ShardsWithoutImagesExist) {
  const PlannedSplit split = make_plan(source_of(1), {.shard_count = {{"", 4}}}).splits[0];
  ASSERT_EQ(split.first.size(), 5u);
  EXPECT_EQ(split.first.front(), 0u);
  EXPECT_EQ(split.first.back(), 1u);
}

TEST(PackPlan, PlanIdKnowsWhatDecidesTheBytes) {
  const uint64_t id = make_plan(source_of(10), {}).plan_id;
  EXPECT_EQ(make_plan(source_of(10), {}).plan_id, id);
  EXPECT_NE(make_plan(source_of(11), {}).plan_id, id);
  EXPECT_NE(make_plan(source_of(10, 1001), {}).plan_id, id);
  EXPECT_NE(make_plan(source_of(10), {.seed = 1}).plan_id, id);
  PackOptions smaller;
  smaller.normalise.resize_max = 500;
  EXPECT_NE(make_plan(source_of(10), smaller).plan_id, id);
  LabeledSource relabeled = source_of(10);
  relabeled.splits[0].labels[4] = 1;
  EXPECT_NE(make_plan(relabeled, {}).plan_id, id);
  LabeledSource renamed = source_of(10);
  renamed.classes.classes[1].wnid = "c";
  EXPECT_NE(make_plan(renamed, {}).plan_id, id);
}

TEST(PackPlan, ReencodeProbabilityPicksThatShareByNameAndSeed) {
  const auto share = [](double probability, uint64_t seed) {
    PackOptions options{.seed = seed, .reencode_probability = probability};
    int picked = 0;
    for (uint64_t i = 0; i < 10'000; ++i)
      picked += options_for(options, sample_id("train", std::to_string(i))).reencode ? 1 : 0;
    return picked;
  };
  EXPECT_EQ(share(0, 0), 0);
  EXPECT_EQ(share(1, 0), 10'000);
  EXPECT_NEAR(share(0.5, 0), 5000, 200);
  EXPECT_NE(share(0.5, 0), share(0.5, 1));
}

TEST(OptionTexts, AreReadBackAsTheOptionsTheyCameFrom) {
  PackOptions options;
  EXPECT_EQ(option_texts(parse_option_texts(option_texts(options))), option_texts(options));
  options.seed = 7;
  options.reencode_probability = 0.3;
  options.normalise = {
      25, 60, true, 77, Subsampling::k444, 88, true, true, true, true, true, StreamCheck::kHeader, kEntropyIndexPerRow};
  EXPECT_EQ(option_texts(parse_option_texts(option_texts(options))), option_texts(options));
}

TEST(OptionTexts, OfAnotherVersionAreRefusedNotGuessed) {
  auto texts = option_texts({});
  texts["check"] = "twice";
  EXPECT_ERROR(parse_option_texts(texts), ErrorKind::kInvalidInput,
               "packing option 'check' is not one of this version");
  texts = option_texts({});
  texts.erase("quality");
  EXPECT_ERROR(parse_option_texts(texts), ErrorKind::kInvalidInput, "packing option 'quality'");
  texts = option_texts({});
  texts["sharpen"] = "yes";
  EXPECT_ERROR(parse_option_texts(texts), ErrorKind::kInvalidInput, "packing option 'sharpen'");
}

}  // namespace
}  // namespace imgpack::ingest
