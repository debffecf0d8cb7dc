#include "engine/train/run/schedule.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "engine/train/run/json_text.h"
#include "format/error.h"

namespace imgtrain {
namespace {

using imgpack::Error;
using imgpack::ErrorKind;

// The same operations in the same order as torch's _annealing_cos and _annealing_linear.
double anneal(Anneal shape, double start, double end, double pct) {
  if (shape == Anneal::kLinear) return (end - start) * pct + start;
  const double cos_out = std::cos(std::numbers::pi * pct) + 1;
  return end + (start - end) / 2.0 * cos_out;
}

}  // namespace

LrSchedule::LrSchedule(const RunConfig& config, uint64_t batches_per_epoch)
    : config_(config),
      batch_(static_cast<uint64_t>(config.batch)),
      steps_per_epoch_(batches_per_epoch),
      total_steps_(config.duration.whole_batches(batches_per_epoch)),
      warmup_steps_(config.warmup.batches(batches_per_epoch)) {
  const std::string length = to_text(config.duration) + " are " + std::to_string(total_steps_) + " steps";
  if (total_steps_ == 0)
    throw Error(ErrorKind::kUsage, "duration: expected at least one step, but " + length + " here");
  if (warmup_steps_ >= static_cast<double>(total_steps_) && config.warmup.value > 0) {
    throw Error(ErrorKind::kUsage,
                "warmup: expected less than the whole training (" + length + "), found " + to_text(config.warmup));
  }
  for (const Duration& at : config.step_at) step_at_.push_back(at.batches(batches_per_epoch));
  if (!std::is_sorted(step_at_.begin(), step_at_.end()) ||
      (!step_at_.empty() && step_at_.back() >= static_cast<double>(total_steps_))) {
    throw Error(ErrorKind::kUsage, "step_at: expected ascending places within training (" + length + ")");
  }
}

StepRates LrSchedule::at(uint64_t samples_seen) const {
  double position = static_cast<double>(samples_seen) / static_cast<double>(batch_);
  if (config_.lr_hold == LrHold::kEpoch) {
    const auto per_epoch = static_cast<double>(steps_per_epoch_);
    position = std::floor(position / per_epoch) * per_epoch;
  }
  if (config_.schedule == ScheduleKind::kOneCycle) return one_cycle(position);
  double share = 0;
  if (position < warmup_steps_) {
    share = config_.warmup_start + (1 - config_.warmup_start) * (position / warmup_steps_);
  } else {
    share = decay(position);
  }
  return {config_.peak_lr() * share, config_.momentum};
}

// Share of the peak after the warm-up.
double LrSchedule::decay(double position) const {
  const double start = config_.decay_from_start ? 0 : warmup_steps_;
  const double done = std::min(1.0, (position - start) / (static_cast<double>(total_steps_) - start));
  const double range = 1 - config_.lr_final;
  switch (config_.schedule) {
    case ScheduleKind::kConstant:
    case ScheduleKind::kOneCycle:
      return 1;
    case ScheduleKind::kCosine:
      return config_.lr_final + range * (1 + std::cos(std::numbers::pi * done)) / 2;
    case ScheduleKind::kLinear:
      return config_.lr_final + range * (1 - done);
    case ScheduleKind::kPoly:
      return config_.lr_final + range * std::pow(1 - done, config_.poly_power);
    case ScheduleKind::kStep: {
      const auto passed = std::upper_bound(step_at_.begin(), step_at_.end(), position) - step_at_.begin();
      return std::pow(config_.step_factor, static_cast<double>(passed));
    }
  }
  return 1;
}

StepRates LrSchedule::one_cycle(double position) const {
  struct Phase {
    double end, lr_from, lr_to, momentum_from, momentum_to;
  };
  const double peak = config_.peak_lr();
  const double initial = peak / config_.onecycle_div;
  const double final_lr = initial / config_.onecycle_final_div;
  const double low = config_.onecycle_base_momentum, high = config_.onecycle_max_momentum;
  const auto total = static_cast<double>(total_steps_);
  const double pct = config_.onecycle_pct_start;
  std::vector<Phase> phases;
  if (config_.onecycle_three_phase) {
    phases = {{pct * total - 1, initial, peak, high, low},
              {2 * pct * total - 2, peak, initial, low, high},
              {total - 1, initial, final_lr, high, high}};
  } else {
    phases = {{pct * total - 1, initial, peak, high, low}, {total - 1, peak, final_lr, low, high}};
  }
  double start = 0;
  for (size_t i = 0; i < phases.size(); ++i) {
    const Phase& phase = phases[i];
    if (position <= phase.end || i + 1 == phases.size()) {
      // A single step has nowhere to go; torch divides by zero there.
      const double length = phase.end - start;
      const double done = length > 0 ? (position - start) / length : 1;
      const double momentum = config_.onecycle_cycle_momentum
                                  ? anneal(config_.onecycle_anneal, phase.momentum_from, phase.momentum_to, done)
                                  : config_.momentum;
      return {anneal(config_.onecycle_anneal, phase.lr_from, phase.lr_to, done), momentum};
    }
    start = phase.end;
  }
  return {final_lr, config_.momentum};
}

std::string schedule_csv(const LrSchedule& schedule, uint64_t stride) {
  std::string out = "step,epoch,learning_rate,momentum\n";
  for (uint64_t step = 0; step < schedule.total_steps(); step += stride) {
    const StepRates rates = schedule.at_step(step);
    const double epoch = static_cast<double>(step) / static_cast<double>(schedule.steps_per_epoch());
    out += std::to_string(step) + "," + number_text(epoch) + "," + number_text(rates.lr) + "," +
           number_text(rates.momentum) + "\n";
  }
  return out;
}

}  // namespace imgtrain
