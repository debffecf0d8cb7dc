#include "engine/train/run/order_proof.h"

#include <vector>

#include "engine/data/batch_planner.h"

namespace imgtrain {

OrderProof prove_order(const imgpack::SplitView& split, const data::SampleOrder& order, uint64_t epoch,
                       uint64_t batches) {
  OrderProof proof;
  std::vector<uint8_t> visits(split.records());
  data::BatchPlanner planner(split, order, {}, epoch, 0);
  for (uint64_t i = 0; i < batches; ++i) {
    const auto batch = planner.next();
    if (!batch) break;
    proof.digest = data::chain_digest(proof.digest, batch->digest);
    for (const data::PlannedSample& sample : batch->samples) {
      ++proof.samples;
      uint8_t& seen = visits[sample.record];
      if (seen >= order.repeats()) ++proof.repeated;
      if (seen < UINT8_MAX) ++seen;
    }
  }
  // A repeated sample stands where another one is missing.
  if (batches == order.batches_per_epoch()) {
    const uint64_t covered = proof.samples - proof.repeated, expected = order.samples_per_epoch();
    proof.skipped = covered < expected ? expected - covered : 0;
  }
  return proof;
}

}  // namespace imgtrain
