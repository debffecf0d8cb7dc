#include "engine/data/sample_order.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "format/error.h"
#include "tests/unit/data/synthetic_split.h"

namespace imgtrain::data {
namespace {

std::vector<SampleRef> whole_epoch(const SampleOrder& order, uint64_t epoch) {
  std::vector<SampleRef> all;
  for (uint64_t b = 0; b < order.batches_per_epoch(); ++b) {
    const auto batch = order.global_batch(epoch, b);
    all.insert(all.end(), batch.begin(), batch.end());
  }
  return all;
}

std::vector<uint64_t> sorted_records(const std::vector<SampleRef>& samples) {
  std::vector<uint64_t> records;
  for (const SampleRef& sample : samples) records.push_back(sample.record);
  std::sort(records.begin(), records.end());
  return records;
}

SampleOrderOptions small_blocks() {
  SampleOrderOptions options;
  options.seed = 5;
  options.block_bytes = 1 << 20;
  options.drop_last = false;
  return options;
}

TEST(SampleOrder, EveryEpochIsAPermutation) {
  for (const uint64_t records : {1u, 2u, 47u, 48u, 49u, 1000u, 4097u}) {
    for (const uint32_t window : {1u, 2u, 3u, 5u}) {
      for (const uint32_t partitions : {1u, 3u, 48u}) {
        SampleOrderOptions options = small_blocks();
        options.window_blocks = window;
        options.partitions = partitions;
        options.batch = 64;
        const SampleOrder order(make_split({.records = records}), options);
        std::vector<uint64_t> expected(records);
        std::iota(expected.begin(), expected.end(), uint64_t{0});
        for (const uint64_t epoch : {0u, 1u}) {
          ASSERT_EQ(sorted_records(whole_epoch(order, epoch)), expected)
              << records << " records, window " << window << ", partitions " << partitions;
        }
      }
    }
  }
}

TEST(SampleOrder, DropLastLeavesOutLessThanOneBatch) {
  SampleOrderOptions options = small_blocks();
  options.drop_last = true;
  options.batch = 256;
  const SampleOrder order(make_split({.records = 1000}), options);
  EXPECT_EQ(order.batches_per_epoch(), 3u);
  EXPECT_EQ(order.samples_per_epoch(), 768u);
  const auto records = sorted_records(whole_epoch(order, 0));
  EXPECT_EQ(records.size(), 768u);
  EXPECT_EQ(std::adjacent_find(records.begin(), records.end()), records.end());
}

TEST(SampleOrder, ASetSmallerThanOneBatchIsOneBatch) {
  for (const bool drop_last : {false, true}) {
    for (const uint64_t records : {1u, 10u, 255u}) {
      SampleOrderOptions options = small_blocks();
      options.drop_last = drop_last;
      const SampleOrder order(make_split({.records = records}), options);
      EXPECT_EQ(order.batches_per_epoch(), 1u);
      EXPECT_EQ(order.samples_per_epoch(), records);
      EXPECT_EQ(order.global_batch(0, 0).size(), records);
    }
  }
}

TEST(SampleOrder, ASplitWithoutRecordsHasNoBatches) {
  const SampleOrder order(make_split({.records = 0}), small_blocks());
  EXPECT_EQ(order.batches_per_epoch(), 0u);
  EXPECT_EQ(order.samples_per_epoch(), 0u);
  EXPECT_EQ(order.partitions(), 1u);
}

TEST(SampleOrder, EpochsAndSeedsDiffer) {
  const imgpack::SplitView split = make_split({.records = 3000});
  SampleOrderOptions options = small_blocks();
  const SampleOrder order(split, options), same(split, options);
  options.seed = 6;
  const SampleOrder other(split, options);
  EXPECT_EQ(whole_epoch(order, 0), whole_epoch(same, 0));
  EXPECT_NE(whole_epoch(order, 0), whole_epoch(order, 1));
  EXPECT_NE(whole_epoch(order, 0), whole_epoch(other, 0));
}

TEST(SampleOrder, ABatchAskedForAloneIsTheOneOfAWholePass) {
  SampleOrderOptions options = small_blocks();
  options.batch = 100;
  const SampleOrder order(make_split({.records = 5000}), options);
  const EpochOrder epoch = order.epoch(3);
  WindowCache cache;
  for (uint64_t b = 0; b < order.batches_per_epoch(); ++b) {
    const BatchRange range = order.batch_range(b);
    std::vector<SampleRef> walked;
    for (const OrderedSample& sample : epoch.samples(range.first, range.last, cache))
      walked.push_back({sample.record, sample.repeat});
    ASSERT_EQ(order.global_batch(3, b), walked);
  }
}

TEST(SampleOrder, ABatchTakesEquallyFromAllPartitions) {
  SampleOrderOptions options = small_blocks();
  options.batch = 250;
  options.partitions = 24;
  const SampleOrder order(make_split({.records = 20000}), options);
  ASSERT_EQ(order.partitions(), 24u);
  const auto& first = order.plan().first_record;
  for (uint64_t b = 0; b < order.batches_per_epoch(); ++b) {
    const auto batch = order.global_batch(0, b);
    std::map<int64_t, uint64_t> taken;
    for (const SampleRef& sample : batch)
      ++taken[std::upper_bound(first.begin(), first.end(), sample.record) - first.begin()];
    for (const auto& [partition, count] : taken) {
      ASSERT_GE(count, batch.size() / 24);
      ASSERT_LE(count, batch.size() / 24 + 1);
    }
  }
}

TEST(SampleOrder, PowerOfTwoRanksReadNothingButTheirOwnPartitions) {
  SampleOrderOptions options = small_blocks();
  options.batch = 256;
  options.drop_last = true;
  const SampleOrder order(make_split({.records = 30000}), options);
  ASSERT_EQ(order.partitions(), 48u);
  const auto& first = order.plan().first_record;
  for (const uint32_t world : {2u, 4u, 8u, 16u}) {
    for (uint64_t b = 0; b < order.batches_per_epoch(); b += 7) {
      const auto batch = order.global_batch(1, b);
      for (uint32_t rank = 0; rank < world; ++rank) {
        const LocalRange local = local_range(256, 1, rank, world);
        ASSERT_EQ(local.end - local.begin, 256 / world);
        for (uint32_t i = local.begin; i < local.end; ++i) {
          const auto partition = std::upper_bound(first.begin(), first.end(), batch[i].record) - first.begin() - 1;
          ASSERT_EQ(static_cast<uint32_t>(partition) / (48 / world), rank);
        }
      }
    }
  }
}

TEST(SampleOrder, RepeatsKeepTheEpochsLength) {
  SampleOrderOptions options = small_blocks();
  options.repeats = 3;
  options.batch = 100;
  const SampleOrder order(make_split({.records = 2000}), options);
  EXPECT_EQ(order.samples_per_epoch(), 2000u);
  std::map<uint64_t, std::vector<uint32_t>> repeats;
  for (const SampleRef& sample : whole_epoch(order, 0)) repeats[sample.record].push_back(sample.repeat);
  EXPECT_EQ(repeats.size(), 667u);
  uint64_t complete = 0;
  for (auto& [record, seen] : repeats) {
    std::sort(seen.begin(), seen.end());
    complete += seen == std::vector<uint32_t>{0, 1, 2};
  }
  EXPECT_EQ(complete, 666u);  // The epoch ends within the last one.
  EXPECT_NE(sorted_records(whole_epoch(order, 0)), sorted_records(whole_epoch(order, 1)));
}

TEST(SampleOrder, RepeatsOfAnImageAreInDifferentGroupsOfTheirBatch) {
  SampleOrderOptions options = small_blocks();
  options.repeats = 4;
  options.batch = 64;
  options.drop_last = true;  // A batch that is not full cuts the repeats of its last image short.
  const SampleOrder order(make_split({.records = 2000}), options);
  for (uint64_t batch = 0; batch < order.batches_per_epoch(); ++batch) {
    const auto samples = order.global_batch(1, batch);
    for (size_t group = 0; group < 4; ++group) {
      std::set<uint64_t> records;
      for (size_t i = 0; i < 16; ++i) records.insert(samples[16 * group + i].record);
      EXPECT_EQ(records.size(), 16u);
    }
  }
}

TEST(SampleOrder, WithoutShufflingGoesInRecordOrder) {
  SampleOrderOptions options = small_blocks();
  options.shuffle = false;
  const SampleOrder order(make_split({.records = 1000}), options);
  const auto all = whole_epoch(order, 4);
  ASSERT_EQ(all.size(), 1000u);
  for (uint64_t i = 0; i < 1000; ++i) ASSERT_EQ(all[i].record, i);
}

TEST(SampleOrder, ASetThatFitsIntoOneWindowIsShuffledAsAWhole) {
  SampleOrderOptions options = small_blocks();
  options.block_bytes = 4 << 20;
  const SampleOrder order(make_split({.records = 60}), options);
  ASSERT_EQ(order.partitions(), 1u);
  // Every record comes first about equally often.
  std::vector<int> first(60);
  for (uint64_t epoch = 0; epoch < 6000; ++epoch) ++first[order.global_batch(epoch, 0)[0].record];
  EXPECT_THAT(first, testing::Each(testing::AllOf(testing::Gt(50), testing::Lt(160))));
}

TEST(SampleOrder, UsesNoMoreBlocksAtOnceThanTheWindow) {
  SampleOrderOptions options = small_blocks();
  options.partitions = 1;
  options.window_blocks = 3;
  const SampleOrder order(make_split({.records = 2000}), options);
  const EpochOrder epoch = order.epoch(0);
  WindowCache cache;
  const auto samples = epoch.samples(0, 2000, cache);
  std::map<uint32_t, std::pair<size_t, size_t>> life;
  for (size_t i = 0; i < samples.size(); ++i) {
    auto [at, fresh] = life.try_emplace(samples[i].block, i, i);
    at->second.second = i;
  }
  for (size_t i = 0; i < samples.size(); ++i) {
    size_t alive = 0;
    for (const auto& [block, span] : life) alive += span.first <= i && i <= span.second;
    ASSERT_LE(alive, 3u) << i;
  }
}

TEST(EpochOrder, PlacesAndSpansAgreeWithTheBatches) {
  for (const uint32_t partitions : {1u, 5u}) {
    SampleOrderOptions options = small_blocks();
    options.partitions = partitions;
    options.batch = 37;
    const SampleOrder order(make_split({.records = 777}), options);
    const EpochOrder epoch = order.epoch(2);
    WindowCache cache;
    for (uint64_t b = 0; b < order.batches_per_epoch(); ++b) {
      const BatchRange range = order.batch_range(b);
      const auto batch = epoch.samples(range.first, range.last, cache);
      for (size_t i = 0; i < batch.size(); ++i) {
        const Block& block = order.plan().blocks[batch[i].block];
        const auto places = epoch.places(batch[i].block);
        const uint64_t place = places[batch[i].record - block.first_record];
        ASSERT_LT(place, epoch.end_place(batch[i].block));
        const EpochOrder::Span span = epoch.span_in_batch(batch[i].partition, place, range.first, range.last);
        ASSERT_EQ(span.begin, i);
        ASSERT_EQ(span.end, i + 1);
      }
    }
  }
}

TEST(SampleOrder, OptionsOutOfRangeAreRefused) {
  const imgpack::SplitView split = make_split({.records = 10});
  const auto refuses = [&](auto change) {
    SampleOrderOptions options;
    change(options);
    EXPECT_THROW(SampleOrder(split, options), imgpack::Error);
  };
  refuses([](auto& options) { options.batch = 0; });
  refuses([](auto& options) { options.partitions = 0; });
  refuses([](auto& options) { options.window_blocks = 0; });
  refuses([](auto& options) { options.block_bytes = 0; });
  refuses([](auto& options) { options.repeats = 0; });
}

TEST(LocalRange, RanksAreDisjointAndComplete) {
  for (const uint32_t batch : {1u, 5u, 64u, 100u, 256u, 1792u}) {
    for (const uint32_t group : {0u, 1u, 7u, 32u, 448u}) {
      for (const uint32_t world : {1u, 2u, 3u, 4u, 8u, 13u}) {
        uint32_t next = 0;
        for (uint32_t rank = 0; rank < world; ++rank) {
          const LocalRange local = local_range(batch, group, rank, world);
          ASSERT_EQ(local.begin, next);
          ASSERT_LE(local.begin, local.end);
          next = local.end;
        }
        ASSERT_EQ(next, batch);
      }
    }
  }
}

TEST(LocalRange, KeepsGroupsWholeWhereThereAreEnough) {
  for (const uint32_t world : {2u, 3u, 4u, 8u}) {
    for (uint32_t rank = 0; rank < world; ++rank) {
      const LocalRange local = local_range(256, 32, rank, world);
      EXPECT_EQ(local.begin % 32, 0u);
      EXPECT_EQ(local.end % 32, 0u);
    }
  }
}

TEST(LocalRange, SharesAreAsEqualAsWholeGroupsAllow) {
  uint32_t smallest = ~0u, largest = 0;
  for (uint32_t rank = 0; rank < 3; ++rank) {
    const LocalRange local = local_range(256, 32, rank, 3);
    smallest = std::min(smallest, local.end - local.begin);
    largest = std::max(largest, local.end - local.begin);
  }
  EXPECT_EQ(largest - smallest, 32u);
}

}  // namespace
}  // namespace imgtrain::data
