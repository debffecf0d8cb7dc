#include "engine/model/fused_batch_norm.h"

#ifdef IMGTRAIN_WITH_CUDA_KERNELS
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "engine/model/cudnn_norm.h"
#include "engine/model/device_clock.h"
#include "engine/model/device_stream.h"
#include "engine/model/kernel_check.h"
#include "engine/model/norm_choice.h"
#endif

namespace imgtrain {

#ifdef IMGTRAIN_WITH_CUDA_KERNELS
namespace {

// nullptr: there is none.
std::shared_ptr<const FusedNorm> cudnn_norm_for(torch::Device device) {
#ifdef IMGTRAIN_WITH_CUDNN
  if (!at::globalContext().userEnabledCuDNN()) return nullptr;
  const auto calls = loaded_cudnn();
  return calls ? cudnn_fused_norm(*calls, device) : nullptr;
#else
  (void)device;
  return nullptr;
#endif
}

std::shared_ptr<const FusedNorm> checked_norm(torch::Device device) {
  auto own = kernel_fused_norm({kernels::launch_batch_norm_forward, kernels::launch_batch_norm_backward}, device);
  if (const std::string why = disagreement(*own, device); !why.empty()) {
    TORCH_WARN("kernels of this program's own are left alone, libtorch's operations are slower and right: ", why);
    return nullptr;
  }
  return with_alternative({"own", std::move(own)}, {"cuDNN", cudnn_norm_for(device)}, device, device_clock());
}

}  // namespace

std::shared_ptr<const FusedNorm> device_fused_norm(torch::Device device) {
  if (!has_kernels_for(device)) return nullptr;
  static std::mutex mutex;
  static std::map<c10::DeviceIndex, std::shared_ptr<const FusedNorm>> checked;
  const std::lock_guard lock(mutex);
  const auto [at, is_new] = checked.try_emplace(device.index());
  if (is_new) at->second = checked_norm(device);
  return at->second;
}
#else
std::shared_ptr<const FusedNorm> device_fused_norm(torch::Device) {
  return nullptr;
}
#endif

}  // namespace imgtrain
