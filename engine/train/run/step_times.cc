#include "engine/train/run/step_times.h"

#include <charconv>
#include <cstdio>

namespace imgtrain {
namespace {

constexpr const char* kHeader = "step,images,seconds,read,decode,wait,copy,forward_backward,exchange,optimizer\n";

std::string microseconds(double seconds) {
  char buffer[32];
  std::snprintf(buffer, sizeof(buffer), ",%.6f", seconds);
  return buffer;
}

// Whole lines of steps before `first_step`.
std::string lines_before(const std::string& text, uint64_t first_step) {
  std::string kept;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin);
    if (end == std::string::npos) break;
    uint64_t step = 0;
    const auto [after, error] = std::from_chars(text.data() + begin, text.data() + end, step);
    if (error == std::errc() && step < first_step) kept += text.substr(begin, end + 1 - begin);
    begin = end + 1;
  }
  return kept;
}

}  // namespace

StepTimes::StepTimes(bool keep_rows, const std::string& earlier, uint64_t first_step) : keep_rows_(keep_rows) {
  if (keep_rows_) csv_ = kHeader + lines_before(earlier, first_step);
}

void StepTimes::host(const HostTimes& times) {
  waiting_.push_back(times);
}

void StepTimes::device(const DeviceTimes& times) {
  const HostTimes host = waiting_.front();
  waiting_.pop_front();
  ++steps_;
  host_sums_.images += host.images;
  host_sums_.seconds += host.seconds;
  host_sums_.read += host.read;
  host_sums_.decode += host.decode;
  host_sums_.wait += host.wait;
  host_sums_.copy += host.copy;
  device_sums_.forward_backward += times.forward_backward;
  device_sums_.exchange += times.exchange;
  device_sums_.optimizer += times.optimizer;
  if (!keep_rows_) return;
  csv_ += std::to_string(host.step) + "," + std::to_string(host.images);
  for (const double seconds : {host.seconds, host.read, host.decode, host.wait, host.copy, times.forward_backward,
                               times.exchange, times.optimizer})
    csv_ += microseconds(seconds);
  csv_ += "\n";
}

boost::json::object StepTimes::take_sums() {
  if (steps_ == 0) return {};
  const boost::json::object sums{{"steps", steps_},
                                 {"read", host_sums_.read},
                                 {"decode", host_sums_.decode},
                                 {"wait", host_sums_.wait},
                                 {"copy", host_sums_.copy},
                                 {"forward_backward", device_sums_.forward_backward},
                                 {"exchange", device_sums_.exchange},
                                 {"optimizer", device_sums_.optimizer}};
  steps_ = 0;
  host_sums_ = {};
  device_sums_ = {};
  return sums;
}

}  // namespace imgtrain
