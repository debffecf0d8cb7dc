#include "engine/train/run/ema_rule.h"

#include <algorithm>
#include <cmath>

namespace imgtrain {

EmaRule::EmaRule(const RunConfig& config, uint64_t steps_per_epoch, uint64_t total_steps)
    : kind_(config.ema),
      every_(static_cast<uint64_t>(config.ema_every)),
      steps_per_epoch_(steps_per_epoch),
      warmup_epochs_(config.warmup.batches(steps_per_epoch) / static_cast<double>(steps_per_epoch)) {
  const auto every = static_cast<double>(config.ema_every);
  if (kind_ == AverageKind::kTorchvision) {
    const double epochs = static_cast<double>(total_steps) / static_cast<double>(steps_per_epoch);
    const double adjust = static_cast<double>(config.batch) * every / epochs;
    decay_ = 1 - std::min(1.0, (1 - config.ema_decay) * adjust);
  } else if (kind_ == AverageKind::kComposer) {
    decay_ = std::exp2(-every / static_cast<double>(config.ema_half_life));
  }
}

EmaRule::Action EmaRule::after(uint64_t epoch, uint64_t batch) const {
  switch (kind_) {
    case AverageKind::kNone:
      return Action::kNone;
    case AverageKind::kTorchvision: {
      if (batch % every_ != 0) return Action::kNone;
      // The first update after the warm-up still copies: its count of averages was just set back.
      const auto past_warmup = static_cast<uint64_t>(std::ceil(warmup_epochs_));
      const bool first = epoch == past_warmup && batch == 0;
      return epoch < past_warmup || first ? Action::kCopy : Action::kAverage;
    }
    case AverageKind::kComposer:
      return (epoch * steps_per_epoch_ + batch + 1) % every_ == 0 ? Action::kAverage : Action::kNone;
  }
  return Action::kNone;
}

}  // namespace imgtrain
