// BlockPlan cuts a split into the partitions and blocks that every epoch of a run shuffles. A pure function of the
// records' sizes.
//
//   records  |--------- partition 0 ---------|--------- partition 1 ---------| …    equal in records (±1), contiguous
//   blocks   |---0---|---1---|---2---|---3---|---4---|---5---| …                    about block_bytes each, one shard
#pragma once

#include <cstdint>
#include <vector>

#include "format/dataset.h"

namespace imgtrain::data {

// Consecutive records of one shard, read together.
struct Block {
  uint64_t first_record = 0;
  uint32_t records = 0;
};

struct BlockPlan {
  std::vector<uint64_t> first_record;  // Of every partition, and the total: partitions + 1 elements.
  std::vector<uint32_t> first_block;   // The same for blocks.
  std::vector<Block> blocks;

  uint32_t partitions() const { return static_cast<uint32_t>(first_record.size() - 1); }
  uint64_t records() const { return first_record.back(); }
};

// The partition that slot 0, 1, 2 … of the order is taken from, in turn: a permutation of 0 … partitions - 1 by digit
// reversal, so that any 2^k consecutive slots (from a multiple of 2^k, where 2^k divides `partitions`) fall into
// different 2^k-ths of the partitions. Every aligned global batch then takes exactly the same number of samples from
// each such group, and a rank reads the partitions of its own group alone.
std::vector<uint32_t> partition_rotation(uint32_t partitions);

// How many partitions a split is cut into: as many as asked for, but none smaller than one window, so that a set that
// fits into the windows' memory is shuffled as a whole; and at least one.
uint32_t effective_partitions(uint64_t records, uint64_t bytes, uint32_t wanted, uint64_t window_bytes);

// A block holds at most block_bytes plus one record; the blocks of one shard within a partition are of nearly equal
// size. REQUIRES: 0 < partitions <= max(1, records), block_bytes > 0.
BlockPlan plan_blocks(const imgpack::SplitView& split, uint32_t partitions, uint64_t block_bytes);

}  // namespace imgtrain::data
