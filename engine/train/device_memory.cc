#include "engine/train/device_memory.h"

#include "engine/train/run/memory_limit.h"

#ifdef IMGTRAIN_WITH_CUDA
#include <c10/cuda/CUDACachingAllocator.h>
#endif

namespace imgtrain {

void forget_peak_memory(torch::Device device) {
#ifdef IMGTRAIN_WITH_CUDA
  if (device.is_cuda()) {
    c10::cuda::CUDACachingAllocator::emptyCache();
    c10::cuda::CUDACachingAllocator::resetPeakStats(device.index());
    return;
  }
#endif
  (void)device;
  forget_peak_memory();
}

uint64_t peak_memory(torch::Device device) {
#ifdef IMGTRAIN_WITH_CUDA
  if (device.is_cuda()) {
    const auto stats = c10::cuda::CUDACachingAllocator::getDeviceStats(device.index());
    return static_cast<uint64_t>(stats.reserved_bytes[0].peak);
  }
#endif
  (void)device;
  return peak_memory();
}

}  // namespace imgtrain
