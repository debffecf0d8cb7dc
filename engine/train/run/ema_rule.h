// When the average of the weights moves, and how far: a pure function of the position in training.
//
//   average = decay * average + (1 - decay) * weights      batch-norm statistics included
//
// torchvision's references (train.py): at the first batch of an epoch and every `ema_every` after it; the decay is
//   1 - min(1, (1 - ema_decay) * batch * ema_every / epochs); until the warm-up is over the average is a copy.
// Composer's EMA: whenever `ema_every` more batches are done, from the initial weights on; the decay is
//   2^-(ema_every / ema_half_life).
#pragma once

#include <cstdint>

#include "engine/train/run/run_config.h"

namespace imgtrain {

class EmaRule {
 public:
  EmaRule(const RunConfig& config, uint64_t steps_per_epoch, uint64_t total_steps);

  enum class Action { kNone, kCopy, kAverage };
  // After the optimizer step of batch `batch` of epoch `epoch`, both from 0.
  Action after(uint64_t epoch, uint64_t batch) const;
  double decay() const { return decay_; }

 private:
  AverageKind kind_;
  uint64_t every_, steps_per_epoch_;
  double warmup_epochs_;
  double decay_ = 0;
};

}  // namespace imgtrain
