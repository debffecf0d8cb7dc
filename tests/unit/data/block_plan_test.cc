#include "engine/data/block_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "tests/unit/data/synthetic_split.h"

namespace imgtrain::data {
namespace {

TEST(BlockPlan, CutsEveryRecordIntoOneBlockOfOneShardAndOnePartition) {
  const imgpack::SplitView split = make_split({.records = 20000, .shard_bytes = 100ull << 20});
  const uint64_t block_bytes = 4ull << 20;
  const BlockPlan plan = plan_blocks(split, 48, block_bytes);
  ASSERT_EQ(plan.partitions(), 48u);
  uint64_t next = 0;
  for (uint32_t p = 0; p < 48; ++p) {
    ASSERT_EQ(plan.first_record[p], next);
    for (uint32_t b = plan.first_block[p]; b < plan.first_block[p + 1]; ++b) {
      const Block& block = plan.blocks[b];
      ASSERT_EQ(block.first_record, next);
      ASSERT_GT(block.records, 0u);
      next += block.records;
      ASSERT_EQ(split.shard[block.first_record], split.shard[next - 1]);
      const uint64_t bytes =
          split.offset[next - 1] + split.columns.record_bytes[next - 1] - split.offset[block.first_record];
      ASSERT_LE(bytes, block_bytes + split.columns.record_bytes[next - 1]);
    }
    ASSERT_EQ(plan.first_record[p + 1], next);
  }
  EXPECT_EQ(next, 20000u);
}

TEST(BlockPlan, PartitionsDifferByOneRecordAtMost) {
  for (const uint64_t records : {48u, 49u, 95u, 1000u, 1281u}) {
    const BlockPlan plan = plan_blocks(make_split({.records = records}), 48, 1 << 20);
    for (uint32_t p = 0; p < 48; ++p) {
      const uint64_t size = plan.first_record[p + 1] - plan.first_record[p];
      EXPECT_TRUE(size == records / 48 || size == records / 48 + 1) << records << " " << p << " " << size;
    }
  }
}

TEST(BlockPlan, ARecordLargerThanABlockIsABlockOfItsOwn) {
  imgpack::SplitView split = make_split({.records = 3});
  split.columns.record_bytes = {100, 50'000'000, 100};
  split.offset = {4096, 4196, 50'004'196};
  const BlockPlan plan = plan_blocks(split, 1, 4 << 20);
  uint64_t records = 0;
  for (const Block& block : plan.blocks) records += block.records;
  EXPECT_EQ(records, 3u);
  EXPECT_LE(plan.blocks.size(), 3u);
}

TEST(BlockPlan, AnEmptySplitHasOneEmptyPartition) {
  const BlockPlan plan = plan_blocks(make_split({.records = 0}), effective_partitions(0, 0, 48, 8 << 20), 4 << 20);
  EXPECT_EQ(plan.partitions(), 1u);
  EXPECT_TRUE(plan.blocks.empty());
}

TEST(EffectivePartitions, AreAsManyAsWindowsFillOfASmallSet) {
  const uint64_t window = 8 << 20;
  EXPECT_EQ(effective_partitions(1, 100, 48, window), 1u);
  EXPECT_EQ(effective_partitions(5000, window, 48, window), 1u);
  EXPECT_EQ(effective_partitions(5000, window + 1, 48, window), 2u);
  EXPECT_EQ(effective_partitions(1281167, 140ull << 30, 48, window), 48u);
  EXPECT_EQ(effective_partitions(3, 140ull << 30, 48, window), 3u);
}

TEST(PartitionRotation, IsAPermutationForEveryCount) {
  for (uint32_t count = 1; count <= 200; ++count) {
    const std::vector<uint32_t> rotation = partition_rotation(count);
    EXPECT_EQ(std::set<uint32_t>(rotation.begin(), rotation.end()).size(), count);
    EXPECT_EQ(*std::max_element(rotation.begin(), rotation.end()), count - 1);
  }
}

TEST(PartitionRotation, AlignedRunsOfAPowerOfTwoSlotsFallIntoDifferentGroups) {
  const std::vector<uint32_t> rotation = partition_rotation(48);
  for (const uint32_t groups : {2u, 4u, 8u, 16u}) {
    for (uint32_t start = 0; start < 48; start += groups) {
      std::set<uint32_t> hit;
      for (uint32_t i = 0; i < groups; ++i) hit.insert(rotation[start + i] / (48 / groups));
      EXPECT_EQ(hit.size(), groups);
    }
  }
}

}  // namespace
}  // namespace imgtrain::data
