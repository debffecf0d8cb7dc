// StageClock: how long the stages of a step take on the device, without making the host wait for it.
//
//   begin() mark(kForwardBackward) mark(kExchange) mark(kOptimizer)   ...later...   take() -> DeviceTimes
//
// On CUDA a mark is an event in the stream, read when it has passed anyway; on the CPU it is the time of day.
#pragma once

#include <torch/torch.h>

#include <memory>
#include <optional>

#include "engine/train/run/step_times.h"

namespace imgtrain {

// One thread.
class StageClock {
 public:
  enum Stage { kForwardBackward = 0, kExchange = 1, kOptimizer = 2 };
  static constexpr int kStages = 3;

  explicit StageClock(torch::Device device);
  ~StageClock();
  void begin();            // A step's work starts being queued.
  void mark(Stage stage);  // What was queued since the mark before belongs to this stage. In the order above.
  // The oldest step that the device has finished and that was not taken yet.
  std::optional<DeviceTimes> take();
  // Waits for the steps in flight. For the end of an epoch, where the host waits for the device anyway.
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace imgtrain
