// Image size over training: small images first, which cost less, full-grown ones at the end.
//
//   pixels   train_size            ______          begin, end: shares of training
//            progressive_size ____/                sizes in between: multiples of progressive_multiple
//                             0  begin end   1
//
// By `decode`, sizes belong to epochs and the input side delivers them: FFCV's get_resolution. By `shrink`, sizes
// belong to steps; the input side delivers train_size and the step shrinks it: Composer's ProgressiveResizing. Halves
// are rounded to the even multiple, as Python does.
#pragma once

#include <cstdint>

#include "engine/train/run/run_config.h"

namespace imgtrain {

// Immutable, thread-safe.
class ImageSizeSchedule {
 public:
  ImageSizeSchedule(const RunConfig& config, uint64_t steps_per_epoch, uint64_t total_steps);

  uint32_t decoded(uint64_t epoch) const;  // What the input side delivers during an epoch.
  uint32_t trained(uint64_t step) const;   // What the network is given in a step.

 private:
  uint32_t size_at(double position, double length) const;

  bool grows_, shrinks_;
  uint32_t full_, first_;
  double begin_, end_, multiple_;
  uint64_t steps_per_epoch_;
  double steps_;
};

}  // namespace imgtrain
