// How much memory this process has used, and what that says about larger batches.
#pragma once

#include <cstdint>

namespace imgtrain {

// The most that this process has had in memory since it began, or since forget_peak_memory() where the kernel allows
// that. 0: unknown.
uint64_t peak_memory();
void forget_peak_memory();

struct BatchMemory {
  int64_t batch = 0;
  uint64_t bytes = 0;
};

// Memory grows in proportion to the batch, above what does not depend on it. REQUIRES: a.batch < b.batch.
uint64_t memory_of_batch(const BatchMemory& a, const BatchMemory& b, int64_t batch);
// The largest batch, up to `most`, that stays within `limit_bytes`; 0: none.
int64_t largest_batch(const BatchMemory& a, const BatchMemory& b, uint64_t limit_bytes, int64_t most);

}  // namespace imgtrain
