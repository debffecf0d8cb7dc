// EpochOrder is the order of one epoch, worked out as far as its blocks (some 35,000 for ImageNet: under a
// millisecond); single samples are computed when a batch is asked for.
//
//   partition p:  blocks in the epoch's order     B7    B2    B9    B4 …
//                 each cut into W random parts    a b   a b   a b   a b        (W = window_blocks, here 2)
//                 windows, each mixed             [7a] [7b 2a] [2b 9a] [9b 4a] …
//
// So at any place W blocks of a partition are in use, one leaves and one enters. Partitions cut their blocks at
// different fractions, so that they do not all ask for their next block at once. A partition of at most W blocks is
// one window.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/data/block_plan.h"

namespace imgtrain::data {

// One sample of a global batch.
struct OrderedSample {
  uint64_t record = 0;  // Position in the split's record order.
  uint32_t repeat = 0;
  uint32_t partition = 0;
  uint32_t block = 0;  // Index into BlockPlan::blocks.
};

struct EpochOrderOptions {
  uint64_t seed = 0;
  uint64_t epoch = 0;
  uint32_t window_blocks = 2;
  uint32_t repeats = 1;
  bool shuffle = true;  // False: record order.
};

// What a caller that asks for batch after batch keeps, so that windows are mixed once and not for every batch.
struct WindowCache {
  struct Entry {
    uint64_t window = ~0ull;
    std::vector<uint64_t> records;
    std::vector<uint32_t> blocks;
  };
  std::vector<Entry> partitions;
};

// Immutable and thread-safe; holds a reference to the plan and the rotation, which must outlive it.
class EpochOrder {
 public:
  EpochOrder(const BlockPlan& plan, const std::vector<uint32_t>& rotation, const EpochOrderOptions& options);

  // The samples [first, last) of the epoch that make one global batch, sorted by (repeat, partition, place): the
  // repeats of an image are as far apart as can be, in other batch-norm groups where there are as many groups as
  // repeats (torchvision's RASampler gives them to different devices). REQUIRES: the range lies within the epoch: last
  // <= records * repeats.
  std::vector<OrderedSample> samples(uint64_t first, uint64_t last, WindowCache& cache) const;

  // The places, within its partition's order, of the records of a block, in record order.
  std::vector<uint64_t> places(uint32_t block) const;

  // The place after the last one that a block of the plan has a record at.
  uint64_t end_place(uint32_t block) const;

  // Where in the batch [first, last) the record at `place` of `partition` stands. REQUIRES: no repeats.
  struct Span {
    uint64_t begin = 0, end = 0;  // Relative to the batch; empty if the record is not in it.
  };
  Span span_in_batch(uint32_t partition, uint64_t place, uint64_t first, uint64_t last) const;

  // The sample of the epoch, repeats counted, at which the record at `place` of `partition` first occurs.
  uint64_t occurrence(uint32_t partition, uint64_t place) const;

 private:
  uint64_t part_begin(uint32_t partition, uint64_t records, uint64_t part) const;
  uint64_t windows(uint32_t partition) const;
  void fill(uint32_t partition, uint64_t window, WindowCache::Entry& entry) const;
  // How many samples (repeats counted) of a partition stand before sample `occurrence` of the epoch.
  uint64_t occurrences_before(uint32_t partition, uint64_t occurrence) const;
  uint32_t blocks_of(uint32_t partition) const {
    return plan_.first_block[partition + 1] - plan_.first_block[partition];
  }

  const BlockPlan& plan_;
  const EpochOrderOptions options_;
  std::vector<uint32_t> turn_;          // Of every partition within a round of slots: the rotation's inverse.
  std::vector<uint32_t> sequence_;      // Block (index into the plan) at every position; partitions one after another.
  std::vector<uint32_t> position_;      // Of every block within its partition's sequence: the inverse.
  std::vector<uint32_t> partition_of_;  // Of every block.
  std::vector<uint64_t> first_window_;  // Of every partition, in window_start_.
  std::vector<uint64_t> window_start_;  // Place at which a window begins; per partition windows + 1 elements.
};

}  // namespace imgtrain::data
