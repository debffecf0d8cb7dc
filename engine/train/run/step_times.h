// StepTimes: where every optimizer step spent its time, stage by stage, put together from two sides that are known at
// different moments: the host's clock at once, the device's when it gets there. Nobody waits for anybody.
//
//   step_times.csv   step,images,seconds,read,decode,wait,copy,forward_backward,exchange,optimizer
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <deque>
#include <string>

namespace imgtrain {

// Seconds during one step. Read and decode run beside the step (decode is summed over threads); so does copy on a GPU.
// The step itself is wait + forward_backward + exchange + optimizer, and what the host does in between.
struct HostTimes {
  uint64_t step = 0, images = 0;
  double seconds = 0;  // From the end of the step before to the end of this one, on the host.
  double read = 0, decode = 0, wait = 0, copy = 0;
};
struct DeviceTimes {
  double forward_backward = 0;
  double exchange = 0;  // Of gradients, as far as backward did not hide it.
  double optimizer = 0;
};

// One thread.
class StepTimes {
 public:
  // `keep_rows`: for step_times.csv. `earlier`: what the file holds already; lines of `first_step` and later, of work
  // that was lost, are left out.
  explicit StepTimes(bool keep_rows, const std::string& earlier = {}, uint64_t first_step = 0);

  void host(const HostTimes& times);
  void device(const DeviceTimes& times);  // Of the oldest step that lacks them. REQUIRES: there is one.

  // Sums since the last call, of steps whose two sides are known, as an epoch's event holds them; empty if there are
  // none: {"steps": 78, "read": 0.1, …}
  boost::json::object take_sums();
  const std::string& csv() const { return csv_; }

 private:
  bool keep_rows_;
  std::deque<HostTimes> waiting_;
  std::string csv_;
  uint64_t steps_ = 0;
  HostTimes host_sums_;
  DeviceTimes device_sums_;
};

}  // namespace imgtrain
