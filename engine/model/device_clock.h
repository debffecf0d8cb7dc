// DeviceClock: how long a device takes for some work.
//
//   the device is kept busy --> mark, work x runs, mark --> seconds between the marks / runs
//
// Kept busy first, so that the work is queued before it runs: what counts is the device's time, not the host's, as in a
// training that is ahead of its device or replays graphs.
#pragma once

#include <torch/torch.h>

#include <functional>
#include <memory>

namespace imgtrain {

// Immutable and without state: any thread.
class DeviceClock {
 public:
  virtual ~DeviceClock() = default;
  // Whether work that is queued now is recorded instead of run (the capture of a CUDA graph): it cannot be timed.
  virtual bool records(torch::Device device) const = 0;
  // Of one of `runs` runs of `work`, in the current stream. Waits for the device; throws what `work` throws.
  virtual double seconds(torch::Device device, int runs, const std::function<void()>& work) const = 0;
};

// Events in the stream on CUDA, the time of day on a CPU.
std::shared_ptr<const DeviceClock> device_clock();

}  // namespace imgtrain
