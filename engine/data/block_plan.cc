#include "engine/data/block_plan.h"

#include <algorithm>

namespace imgtrain::data {
namespace {

// Cuts records [first, last) of one shard.
void cut_extent(const imgpack::SplitView& split, uint64_t first, uint64_t last, uint64_t block_bytes,
                std::vector<Block>& blocks) {
  const uint64_t begin = split.offset[first];
  const uint64_t bytes = split.offset[last - 1] + split.columns.record_bytes[last - 1] - begin;
  const uint64_t count = std::max<uint64_t>(1, (bytes + block_bytes - 1) / block_bytes);
  uint64_t start = first;
  for (uint64_t i = 1; i <= count && start < last; ++i) {
    // A record belongs to the block in which it starts.
    const uint64_t target = begin + bytes / count * i + bytes % count * i / count;
    const auto from = split.offset.begin() + static_cast<ptrdiff_t>(start);
    const auto to = split.offset.begin() + static_cast<ptrdiff_t>(last);
    const uint64_t end =
        i == count ? last : static_cast<uint64_t>(std::lower_bound(from, to, target) - split.offset.begin());
    if (end > start) blocks.push_back({start, static_cast<uint32_t>(end - start)});
    start = end;
  }
}

}  // namespace

std::vector<uint32_t> partition_rotation(uint32_t partitions) {
  std::vector<uint32_t> radices;
  uint32_t rest = partitions;
  for (uint32_t radix = 2; rest > 1; ++radix) {
    for (; rest % radix == 0; rest /= radix) radices.push_back(radix);
    if (radix * uint64_t{radix} > rest && rest > 1) {
      radices.push_back(rest);
      rest = 1;
    }
  }
  std::vector<uint32_t> rotation(partitions);
  for (uint32_t slot = 0; slot < partitions; ++slot) {
    uint32_t digits = slot, place = partitions, partition = 0;
    for (const uint32_t radix : radices) {
      place /= radix;
      partition += digits % radix * place;
      digits /= radix;
    }
    rotation[slot] = partition;
  }
  return rotation;
}

uint32_t effective_partitions(uint64_t records, uint64_t bytes, uint32_t wanted, uint64_t window_bytes) {
  const uint64_t windows = (bytes + window_bytes - 1) / window_bytes;
  return static_cast<uint32_t>(
      std::max<uint64_t>(1, std::min<uint64_t>({std::max<uint64_t>(wanted, 1), windows, records})));
}

BlockPlan plan_blocks(const imgpack::SplitView& split, uint32_t partitions, uint64_t block_bytes) {
  const uint64_t records = split.records();
  const std::vector<uint32_t> rotation = partition_rotation(partitions);
  std::vector<uint64_t> sizes(partitions, records / partitions);
  // The last round of slots is not a full one: the partitions it reaches have one record more.
  for (uint64_t slot = 0; slot < records % partitions; ++slot) ++sizes[rotation[slot]];

  BlockPlan plan;
  plan.first_record.push_back(0);
  plan.first_block.push_back(0);
  size_t shard = 0;
  for (const uint64_t size : sizes) {
    uint64_t start = plan.first_record.back();
    const uint64_t end = start + size;
    while (start < end) {
      while (split.first_record[shard + 1] <= start) ++shard;
      const uint64_t extent_end = std::min(end, split.first_record[shard + 1]);
      cut_extent(split, start, extent_end, block_bytes, plan.blocks);
      start = extent_end;
    }
    plan.first_record.push_back(end);
    plan.first_block.push_back(static_cast<uint32_t>(plan.blocks.size()));
  }
  return plan;
}

}  // namespace imgtrain::data
