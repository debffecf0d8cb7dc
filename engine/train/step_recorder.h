// StepRecorder: work on a device that is noted once, and then done again and again with one launch.
//
//   record(work) -> StepRecording -> replay() replay() …        CUDA: a stream capture and its graph
//
// A replay does on the device what `work` queued while it was recorded: the same kernels on the same memory. Whatever
// the host computed meanwhile is frozen, and so is every number that it handed over by value.
#pragma once

#include <torch/torch.h>

#include <functional>
#include <memory>

namespace imgtrain {

class StepRecording {
 public:
  virtual ~StepRecording() = default;
  // Queued on the current stream, without waiting. Throws where it could not be queued: none of it is done then.
  virtual void replay() = 0;
};

// One thread. Recordings of one recorder share the memory of what they compute on the way: they may run in any order,
// one after the other, and nothing that one leaves there is there after the next.
class StepRecorder {
 public:
  virtual ~StepRecorder() = default;
  // Notes what `work`, which may be kept, queues on the device, without any of it being done. Waits for the device.
  // Throws what `work` throws, and whatever libtorch throws where something cannot be noted (a host synchronisation,
  // say); the device and what is on it are then as before.
  virtual std::unique_ptr<StepRecording> record(const std::function<void()>& work) = 0;
};

// CUDA graphs; nullptr for a CPU.
std::unique_ptr<StepRecorder> make_step_recorder(torch::Device device);

}  // namespace imgtrain
