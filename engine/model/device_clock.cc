#include "engine/model/device_clock.h"

#include <chrono>

#ifdef IMGTRAIN_WITH_CUDA
#include <ATen/cuda/CUDAEvent.h>
#include <ATen/cuda/Sleep.h>
#include <c10/cuda/CUDAGraphsC10Utils.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#endif

namespace imgtrain {
namespace {

#ifdef IMGTRAIN_WITH_CUDA
// One to two milliseconds: time to queue a few dozen kernels.
constexpr int64_t kBusyCycles = 2'000'000;

double cuda_seconds(torch::Device device, int runs, const std::function<void()>& work) {
  const c10::cuda::CUDAGuard on_device(device);
  const auto stream = c10::cuda::getCurrentCUDAStream();
  at::cuda::CUDAEvent begin(cudaEventDefault), end(cudaEventDefault);
  at::cuda::sleep(kBusyCycles);
  begin.record(stream);
  for (int run = 0; run < runs; ++run) work();
  end.record(stream);
  end.synchronize();
  return begin.elapsed_time(end) / 1e3 / runs;
}
#endif

class RealClock : public DeviceClock {
 public:
  bool records(torch::Device device) const override {
#ifdef IMGTRAIN_WITH_CUDA
    if (device.is_cuda()) {
      const c10::cuda::CUDAGuard on_device(device);
      return c10::cuda::currentStreamCaptureStatusMayInitCtx() != c10::cuda::CaptureStatus::None;
    }
#endif
    (void)device;
    return false;
  }

  double seconds(torch::Device device, int runs, const std::function<void()>& work) const override {
#ifdef IMGTRAIN_WITH_CUDA
    if (device.is_cuda()) return cuda_seconds(device, runs, work);
#endif
    (void)device;
    const auto begin = std::chrono::steady_clock::now();
    for (int run = 0; run < runs; ++run) work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() / runs;
  }
};

}  // namespace

std::shared_ptr<const DeviceClock> device_clock() {
  return std::make_shared<RealClock>();
}

}  // namespace imgtrain
