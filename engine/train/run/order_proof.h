// What an epoch's order holds, walked through without reading any image: the digest that a correct run must have
// delivered, and whether any sample comes twice or is left out. Computed from the plan alone, so that it checks the
// checkpoint and the data set against one another.
#pragma once

#include <cstdint>

#include "engine/data/sample_order.h"
#include "format/dataset.h"

namespace imgtrain {

struct OrderProof {
  uint64_t digest = 0;    // As BatchPipeline::order_digest() gives it after these batches.
  uint64_t samples = 0;   // In these batches.
  uint64_t repeated = 0;  // Beyond the repeats that are asked for (repeated augmentation).
  uint64_t skipped = 0;   // Of the whole epoch's samples, where all batches are walked; 0 for a part of an epoch.
};

// Walks the batches [0, batches) of an epoch. REQUIRES: batches <= order.batches_per_epoch(). About 0.2 s per million
// samples.
OrderProof prove_order(const imgpack::SplitView& split, const data::SampleOrder& order, uint64_t epoch,
                       uint64_t batches);

}  // namespace imgtrain
