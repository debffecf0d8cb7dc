// Which sample comes when: a pure function of (records per split, block boundaries, seed, epoch, partitions), so that
// any rank, thread count or resumed run computes the same answer.
//
//   global record order --cut--> P partitions (fixed for the run) --> blocks in seeded order --> samples mixed inside
//   a window of blocks --> global batches that take equally from all partitions
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "format/dataset.h"

namespace imgtrain::data {

struct SampleOrderOptions {
  uint64_t seed = 0;
  uint32_t partitions = 48;           // At most; small sets use fewer (see SampleOrder::partitions()).
  uint64_t block_bytes = 4ull << 20;  // Of shard file that is read at once.
  uint32_t window_blocks = 2;         // Samples mix within so many blocks of a partition.
  uint32_t batch = 256;               // Global batch, in samples.
  bool drop_last = true;              // False keeps the last partial global batch.
  uint32_t repeats = 1;               // Repeated augmentation: how often a sample occurs in a row.
};

// One sample of the order: position in the split's global record order, and which repeat of it.
struct SampleRef {
  uint64_t record = 0;
  uint32_t repeat = 0;
  bool operator==(const SampleRef&) const = default;
};

// Immutable, thread-safe.
class SampleOrder {
 public:
  SampleOrder(const imgpack::SplitView& split, const SampleOrderOptions& options);
  ~SampleOrder();

  uint32_t partitions() const;
  uint64_t batches_per_epoch() const;
  uint64_t samples_per_epoch() const;  // What the batches of one epoch hold together.

  // The samples of global batch `batch` of `epoch`, in their order. The same on every rank.
  // REQUIRES: batch < batches_per_epoch(). Memory and time bounded by the windows touched, not by the epoch.
  std::vector<SampleRef> global_batch(uint64_t epoch, uint64_t batch) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The half-open range of a global batch of `batch` samples that rank `rank` of `world` trains on: as equal as can be,
// in whole groups of `group` samples where the batch has enough of them (group = bn_group).
struct LocalRange {
  uint32_t begin = 0, end = 0;
};
LocalRange local_range(uint32_t batch, uint32_t group, uint32_t rank, uint32_t world);

}  // namespace imgtrain::data
