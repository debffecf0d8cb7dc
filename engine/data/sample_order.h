// Which sample comes when: a pure function of (records per split, block boundaries, seed, epoch, partitions), so that
// any rank, thread count or resumed run computes the same answer.
//
//   global record order --cut--> P partitions (fixed for the run) --> blocks in seeded order --> samples mixed inside
//   a window of blocks --> global batches that take equally from all partitions
//
// Within a global batch samples stand in the order of their partitions, so that a rank, which takes a contiguous range
// of it (local_range), needs few partitions beyond its own share of them; where the number of ranks is a power of two
// that divides the batch and the partitions, none.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/data/block_plan.h"
#include "engine/data/epoch_order.h"
#include "format/dataset.h"

namespace imgtrain::data {

struct SampleOrderOptions {
  uint64_t seed = 0;
  uint32_t partitions = 48;           // At most; small sets use fewer (see SampleOrder::partitions()).
  uint64_t block_bytes = 4ull << 20;  // Of shard file that is read at once.
  uint32_t window_blocks = 2;         // Samples mix within so many blocks of a partition.
  uint32_t batch = 256;               // Global batch, in samples.
  bool drop_last = true;              // False keeps the last partial global batch. An only batch is always kept.
  // Repeated augmentation: how often a sample occurs in a row. An epoch keeps its length of `records` samples, so it
  // visits the first records / repeats of its order (as torchvision's RASampler and timm do).
  uint32_t repeats = 1;
  bool shuffle = true;  // False: record order, one partition. For evaluation.
};

// One sample of the order: position in the split's global record order, and which repeat of it.
struct SampleRef {
  uint64_t record = 0;
  uint32_t repeat = 0;
  bool operator==(const SampleRef&) const = default;
};

// The samples [first, last) of an epoch, repeats counted.
struct BatchRange {
  uint64_t first = 0, last = 0;
};

// Immutable, thread-safe. Does not refer to the split after construction.
class SampleOrder {
 public:
  // Throws Error(kUsage) for options out of range.
  SampleOrder(const imgpack::SplitView& split, const SampleOrderOptions& options);
  // An EpochOrder refers to the SampleOrder it came from.
  SampleOrder(const SampleOrder&) = delete;
  SampleOrder& operator=(const SampleOrder&) = delete;

  // As asked for, but none smaller than one window of blocks: a set that fits into 2 x 4 MiB has one partition.
  uint32_t partitions() const;
  uint64_t batches_per_epoch() const;  // 0 for a split without records.
  uint64_t samples_per_epoch() const;  // What the batches of one epoch hold together.

  // The samples of global batch `batch` of `epoch`, in their order. The same on every rank.
  // REQUIRES: batch < batches_per_epoch(). Memory and time bounded by the blocks of an epoch and the windows touched.
  std::vector<SampleRef> global_batch(uint64_t epoch, uint64_t batch) const;

  // For callers that go through an epoch: the same without computing the order of blocks for every batch.
  EpochOrder epoch(uint64_t epoch) const;
  BatchRange batch_range(uint64_t batch) const;
  const BlockPlan& plan() const { return plan_; }
  uint32_t batch() const { return options_.batch; }
  uint32_t repeats() const { return options_.repeats; }

 private:
  SampleOrderOptions options_;
  BlockPlan plan_;
  std::vector<uint32_t> rotation_;
};

// The half-open range of a global batch of `batch` samples that rank `rank` of `world` trains on: as equal as can be,
// in whole groups of `group` samples where the batch has enough of them (group = bn_group).
struct LocalRange {
  uint32_t begin = 0, end = 0;
};
LocalRange local_range(uint32_t batch, uint32_t group, uint32_t rank, uint32_t world);

}  // namespace imgtrain::data
