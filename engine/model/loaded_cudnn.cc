#include "engine/model/cudnn_norm.h"

#ifdef IMGTRAIN_WITH_CUDNN

#include <ATen/cudnn/Handle.h>
#include <dlfcn.h>

#include <string>

namespace imgtrain {
namespace {

// Found: whether `function` of this name is there now.
template <class Function>
bool find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  return function != nullptr;
}

}  // namespace

std::optional<CudnnNormCalls> loaded_cudnn() {
  const std::string name = "libcudnn.so." + std::to_string(CUDNN_MAJOR);
  // Loads nothing: it is there, or it is not what libtorch uses. Never closed: libtorch keeps it for as long as it
  // runs.
  void* const library = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
  if (library == nullptr) return std::nullopt;
  CudnnNormCalls calls;
  calls.handle = at::native::getCudnnHandle;
  const bool complete =
      find(library, "cudnnGetErrorString", calls.error_string) &&
      find(library, "cudnnCreateTensorDescriptor", calls.create_tensor) &&
      find(library, "cudnnDestroyTensorDescriptor", calls.destroy_tensor) &&
      find(library, "cudnnSetTensor4dDescriptor", calls.set_tensor) &&
      find(library, "cudnnDeriveBNTensorDescriptor", calls.derive_channels) &&
      find(library, "cudnnCreateActivationDescriptor", calls.create_activation) &&
      find(library, "cudnnDestroyActivationDescriptor", calls.destroy_activation) &&
      find(library, "cudnnSetActivationDescriptor", calls.set_activation) &&
      find(library, "cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize", calls.forward_workspace) &&
      find(library, "cudnnGetBatchNormalizationBackwardExWorkspaceSize", calls.backward_workspace) &&
      find(library, "cudnnGetBatchNormalizationTrainingExReserveSpaceSize", calls.reserve_space) &&
      find(library, "cudnnBatchNormalizationForwardTrainingEx", calls.forward) &&
      find(library, "cudnnBatchNormalizationBackwardEx", calls.backward);
  return complete ? std::optional(calls) : std::nullopt;
}

}  // namespace imgtrain

#endif
