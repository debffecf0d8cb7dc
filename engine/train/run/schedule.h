// LrSchedule: learning rate and momentum of every step, a pure function of the samples seen so far.
//
//   RunConfig + batches per epoch  ->  LrSchedule  ->  at(samples seen)  ->  {lr, momentum}
//
// A kept last partial batch counts as a full one, so that steps and samples stay in proportion: the samples seen before
// step k are k x batch. Definitions: OneCycle is torch.optim.lr_scheduler.OneCycleLR to the last digit; the decays
// begin where the warm-up ends (torchvision's SequentialLR) or at 0 (`decay_from_start`, timm); FFCV's tri-linear rate
// is `linear` with a warm-up from 1e-4. `lr_hold epoch` gives every step of an epoch the rate of its first.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/train/run/run_config.h"

namespace imgtrain {

struct StepRates {
  double lr = 0;
  double momentum = 0;
};

// Immutable, thread-safe.
class LrSchedule {
 public:
  // Throws Error(kUsage) where lengths do not fit: a warm-up longer than training, step_at beyond its end.
  LrSchedule(const RunConfig& config, uint64_t batches_per_epoch);

  uint64_t total_steps() const { return total_steps_; }
  uint64_t steps_per_epoch() const { return steps_per_epoch_; }
  // REQUIRES: samples_seen < total_steps() x batch for the rate of a step that is taken.
  StepRates at(uint64_t samples_seen) const;
  StepRates at_step(uint64_t step) const { return at(step * batch_); }

 private:
  double decay(double position) const;
  StepRates one_cycle(double position) const;

  RunConfig config_;
  uint64_t batch_;
  uint64_t steps_per_epoch_;
  uint64_t total_steps_;
  double warmup_steps_;
  std::vector<double> step_at_;  // In steps, ascending.
};

// The whole curve as CSV with a header: step,epoch,learning_rate,momentum. `stride` leaves out steps between.
std::string schedule_csv(const LrSchedule& schedule, uint64_t stride = 1);

}  // namespace imgtrain
