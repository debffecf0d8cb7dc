#include "engine/train/run/image_size_schedule.h"

#include <algorithm>
#include <cmath>

namespace imgtrain {

ImageSizeSchedule::ImageSizeSchedule(const RunConfig& config, uint64_t steps_per_epoch, uint64_t total_steps)
    : grows_(config.progressive_size > 0),
      shrinks_(config.progressive_by == Progression::kShrink),
      full_(static_cast<uint32_t>(config.train_size)),
      first_(static_cast<uint32_t>(config.progressive_size)),
      begin_(config.progressive_begin),
      end_(config.progressive_end),
      multiple_(static_cast<double>(config.progressive_multiple)),
      steps_per_epoch_(steps_per_epoch),
      steps_(static_cast<double>(total_steps)) {}

uint32_t ImageSizeSchedule::size_at(double position, double length) const {
  const double begin = begin_ * length, end = end_ * length;
  // FFCV ends the ramp with the epoch named; rounding of begin and end cannot move a size past a multiple's middle.
  double share = 0;
  if (position >= end) {
    share = 1;
  } else if (position > begin) {
    share = (position - begin) / (end - begin);
  }
  if (share == 0 && !shrinks_) return first_;
  if (share == 1) return full_;
  const double size = first_ + (static_cast<double>(full_) - first_) * share;
  const double rounded = std::nearbyint(size / multiple_) * multiple_;
  return static_cast<uint32_t>(std::clamp(rounded, 1.0, static_cast<double>(full_)));
}

uint32_t ImageSizeSchedule::decoded(uint64_t epoch) const {
  if (!grows_ || shrinks_) return full_;
  return size_at(static_cast<double>(epoch), steps_ / static_cast<double>(steps_per_epoch_));
}

uint32_t ImageSizeSchedule::trained(uint64_t step) const {
  if (!grows_) return full_;
  return shrinks_ ? size_at(static_cast<double>(step), steps_) : decoded(step / steps_per_epoch_);
}

}  // namespace imgtrain
