#include "engine/model/device_stream.h"

#include <string>

#include "engine/kernels/kernel_code.h"
#include "format/error.h"

#ifdef IMGTRAIN_WITH_CUDA
#include <ATen/cuda/CUDAContext.h>
#endif

namespace imgtrain {

kernels::Stream current_stream(torch::Device device) {
#ifdef IMGTRAIN_WITH_CUDA
  if (device.is_cuda()) return at::cuda::getCurrentCUDAStream(device.index()).stream();
#endif
  (void)device;
  return nullptr;
}

int multiprocessors(torch::Device device) {
#ifdef IMGTRAIN_WITH_CUDA
  if (device.is_cuda()) return at::cuda::getDeviceProperties(device.index())->multiProcessorCount;
#endif
  (void)device;
  return 1;
}

void require_queued(const kernels::KernelStatus& status) {
  if (!status.ok())
    throw imgpack::Error(imgpack::ErrorKind::kInternal, std::string("the device refused a kernel: ") + status.failure,
                         {}, {}, "--no-fused trains without kernels of this project's own");
}

bool has_kernels_for(torch::Device device) {
#ifdef IMGTRAIN_WITH_CUDA_KERNELS
  if (!device.is_cuda() || !torch::cuda::is_available()) return false;
  const auto* const properties = at::cuda::getDeviceProperties(device.index());
  return 10 * properties->major + properties->minor >= kernels::oldest_capability();
#else
  (void)device;
  return false;
#endif
}

}  // namespace imgtrain
