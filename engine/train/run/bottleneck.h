// The bottleneck sentence: where the time of an epoch went, which stage limits, and what would lift it.
//
//   StageSeconds + images + wall time --> shares of the stages --> decode-, read-, copy- or compute-bound --> remedy
#pragma once

#include <cstdint>
#include <string>

#include "engine/data/batch_pipeline.h"
#include "engine/data/repack_estimate.h"

namespace imgtrain {

struct EpochTiming {
  double seconds = 0;   // Wall time of the part of the epoch that this process ran.
  uint64_t images = 0;  // Of this rank, in that part.
  uint32_t input_threads = 1;
  uint32_t cores = 0;  // That this rank may use; 0: not known.
  data::StageSeconds stages;
  double copy_seconds = 0;  // Host to device, during which the model went on.
  data::RepackEstimate repack;
};

// Shares of the time, 0 to 1. `decode` and `augment` are of all input threads together, `check` counts as reading the
// record and so is part of neither.
struct StageShares {
  double read = 0, check = 0, decode = 0, augment = 0, wait = 0, copy = 0;
};
StageShares stage_shares(const EpochTiming& timing);

// Which stage limits, and what would lift it:
//   decode-bound: the model waited 57 % of the time for images; 9.3 cores needed, 4 present; repacking with
//   --resize-max 500 --reencode-probability 1 gives about 1.6x
std::string bottleneck_sentence(const EpochTiming& timing);

// `read 12 %, check 1 %, decode 97 %, augment 0 %, wait 57 %, copy 0 %; 1280 images by the fast path, 0 by the
// reference`, and how many records were left out, if any were.
std::string stage_report(const EpochTiming& timing);

}  // namespace imgtrain
