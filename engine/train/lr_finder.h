// The training behind the learning-rate range test (run/lr_range.h).
#pragma once

#include <functional>
#include <optional>

#include "engine/train/run/lr_range.h"
#include "engine/train/training_step.h"

namespace imgtrain {

// Steps through the range on the batches that `next` gives, and puts weights, statistics, optimizer and loss scale back
// to what they were, also when it throws. `next` gives nullopt to stop early: then the result is nullopt. One thread.
std::optional<LrCurve> range_test(TrainingStep& step, const LrRange& range, double momentum,
                                  const std::function<std::optional<DeviceBatch>()>& next,
                                  const std::function<void(const LrPoint&)>& progress = {});

}  // namespace imgtrain
