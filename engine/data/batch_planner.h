// BatchPlanner walks the global batches of an epoch and says, for one rank, which samples it decodes and which bytes
// of which shard it needs for them. No I/O, no threads.
//
//   EpochOrder --> global batch --> this rank's range --> PlannedBatch { samples -> BlockUse }
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "engine/data/block_reader.h"
#include "engine/data/sample_order.h"
#include "format/dataset.h"

namespace imgtrain::data {

// A block in use by this rank: what to read of it and, once it is requested, the bytes.
struct BlockUse {
  uint64_t first_record = 0;
  BlockRequest request;
  std::vector<uint64_t> at;  // Of every record of the block: its place in the buffer. Meaningless where not needed.
  std::shared_ptr<LoadedBlock> loaded;
};

struct PlannedSample {
  uint64_t record = 0;
  uint32_t repeat = 0;
  std::shared_ptr<BlockUse> block;
};

struct PlannedBatch {
  uint64_t index = 0;
  uint32_t global_count = 0;
  uint32_t first = 0;                  // Position of this rank's first sample in the global batch.
  std::vector<PlannedSample> samples;  // Of this rank.
  uint64_t digest = 0;                 // Of (id, label) of all ranks' samples, in order.
};

// The digest of an epoch's order after a further batch: BatchPipeline::order_digest() is this, from 0 on.
uint64_t chain_digest(uint64_t before, uint64_t batch_digest);

struct RankShare {
  uint32_t rank = 0, world = 1, bn_group = 1;
};

// Not thread-safe. Refers to its arguments.
class BatchPlanner {
 public:
  BatchPlanner(const imgpack::SplitView& split, const SampleOrder& order, const RankShare& share, uint64_t epoch,
               uint64_t first_batch);

  // nullopt: the epoch is planned. The planner lets go of a block when its last sample is planned.
  std::optional<PlannedBatch> next();

 private:
  std::shared_ptr<BlockUse> use(uint32_t block, uint32_t partition);
  bool needed_here(uint32_t partition, uint64_t place) const;

  const imgpack::SplitView& split_;
  const SampleOrder& order_;
  const RankShare share_;
  const EpochOrder epoch_;
  uint64_t next_batch_;
  WindowCache cache_;
  struct Live {
    std::shared_ptr<BlockUse> use;
    uint64_t last_sample;  // Of the epoch, that needs it.
  };
  std::map<uint32_t, Live> live_;  // By block.
};

}  // namespace imgtrain::data
