// The bottleneck sentence: where the time of an epoch went, which stage limits, and what would lift it.
#pragma once

#include <cstdint>
#include <string>

#include "engine/data/batch_pipeline.h"

namespace imgtrain {

struct EpochTiming {
  double seconds = 0;   // Wall time of the part of the epoch that this process ran.
  uint64_t images = 0;  // Of this rank.
  uint32_t input_threads = 1;
  data::StageSeconds stages;
};

// Share of the time in which training stood still for lack of a batch, 0 to 1.
double starved_share(const EpochTiming& timing);

// `compute-bound: the model waited 2 % of the time for images; 9.3 s of decoding on 2 threads stood ready`
std::string bottleneck_sentence(const EpochTiming& timing);

}  // namespace imgtrain
