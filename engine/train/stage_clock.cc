#include "engine/train/stage_clock.h"

#include <array>
#include <chrono>
#include <deque>

#ifdef IMGTRAIN_WITH_CUDA
#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAStream.h>
#endif

namespace imgtrain {
namespace {

using Clock = std::chrono::steady_clock;

DeviceTimes times_of(const std::array<double, StageClock::kStages>& seconds) {
  return {seconds[StageClock::kForwardBackward], seconds[StageClock::kExchange], seconds[StageClock::kOptimizer]};
}

}  // namespace

struct StageClock::State {
  explicit State(torch::Device d) : device(d) {}

  torch::Device device;
  std::array<double, kStages> seconds{};  // CPU: of the running step.
  Clock::time_point last;
  std::deque<DeviceTimes> done;
#ifdef IMGTRAIN_WITH_CUDA
  using Marks = std::array<at::cuda::CUDAEvent, kStages + 1>;
  static std::unique_ptr<Marks> make_marks() {
    return std::unique_ptr<Marks>(
        new Marks{at::cuda::CUDAEvent(cudaEventDefault), at::cuda::CUDAEvent(cudaEventDefault),
                  at::cuda::CUDAEvent(cudaEventDefault), at::cuda::CUDAEvent(cudaEventDefault)});
  }
  void record(size_t mark) {
    (*current)[mark].record(c10::cuda::getCurrentCUDAStream(device.index()));
  }
  void collect() {
    while (!in_flight.empty() && in_flight.front()->back().query()) {
      Marks& marks = *in_flight.front();
      std::array<double, kStages> passed{};
      for (size_t i = 0; i < kStages; ++i) passed[i] = marks[i].elapsed_time(marks[i + 1]) / 1e3;
      done.push_back(times_of(passed));
      spare.push_back(std::move(in_flight.front()));
      in_flight.pop_front();
    }
  }
  std::unique_ptr<Marks> current;
  std::deque<std::unique_ptr<Marks>> in_flight, spare;
#endif
};

StageClock::StageClock(torch::Device device) : state_(std::make_unique<State>(device)) {}

StageClock::~StageClock() = default;

void StageClock::begin() {
#ifdef IMGTRAIN_WITH_CUDA
  if (state_->device.is_cuda()) {
    if (state_->spare.empty()) state_->spare.push_back(State::make_marks());
    state_->current = std::move(state_->spare.front());
    state_->spare.pop_front();
    state_->record(0);
    return;
  }
#endif
  state_->seconds = {};
  state_->last = Clock::now();
}

void StageClock::mark(Stage stage) {
#ifdef IMGTRAIN_WITH_CUDA
  if (state_->device.is_cuda()) {
    state_->record(static_cast<size_t>(stage) + 1);
    if (stage == kOptimizer) state_->in_flight.push_back(std::move(state_->current));
    return;
  }
#endif
  const Clock::time_point now = Clock::now();
  state_->seconds[stage] = std::chrono::duration<double>(now - state_->last).count();
  state_->last = now;
  if (stage == kOptimizer) state_->done.push_back(times_of(state_->seconds));
}

std::optional<DeviceTimes> StageClock::take() {
#ifdef IMGTRAIN_WITH_CUDA
  state_->collect();
#endif
  if (state_->done.empty()) return std::nullopt;
  const DeviceTimes times = state_->done.front();
  state_->done.pop_front();
  return times;
}

void StageClock::finish() {
#ifdef IMGTRAIN_WITH_CUDA
  if (!state_->in_flight.empty()) state_->in_flight.back()->back().synchronize();
#endif
}

}  // namespace imgtrain
