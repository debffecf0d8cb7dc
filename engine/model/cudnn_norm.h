// cuDNN's own fusion of batch norm, the addition of a shortcut and ReLU, as a FusedNorm.
//
//   libtorch_cuda --has loaded--> libcudnn --loaded_cudnn()--> CudnnNormCalls --> cudnn_fused_norm --> FusedNorm
//
// The functions are looked up at run time in the library that libtorch has loaded: a program that names libcudnn itself
// would only start where it was built. Tests hand in a table of their own. In builds that have found no header of
// cuDNN (IMGTRAIN_WITH_CUDNN) there is nothing in here.
#pragma once

#ifdef IMGTRAIN_WITH_CUDNN

#include <cudnn.h>
#include <torch/torch.h>

#include <memory>
#include <optional>

#include "engine/model/fused_batch_norm.h"

namespace imgtrain {

// cuDNN's functions of the same names. None is nullptr.
struct CudnnNormCalls {
  cudnnHandle_t (*handle)() = nullptr;  // Of the calling thread, for the current device and stream. May throw.
  decltype(&::cudnnGetErrorString) error_string = nullptr;
  decltype(&::cudnnCreateTensorDescriptor) create_tensor = nullptr;
  decltype(&::cudnnDestroyTensorDescriptor) destroy_tensor = nullptr;
  decltype(&::cudnnSetTensor4dDescriptor) set_tensor = nullptr;
  decltype(&::cudnnDeriveBNTensorDescriptor) derive_channels = nullptr;
  decltype(&::cudnnCreateActivationDescriptor) create_activation = nullptr;
  decltype(&::cudnnDestroyActivationDescriptor) destroy_activation = nullptr;
  decltype(&::cudnnSetActivationDescriptor) set_activation = nullptr;
  decltype(&::cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize) forward_workspace = nullptr;
  decltype(&::cudnnGetBatchNormalizationBackwardExWorkspaceSize) backward_workspace = nullptr;
  decltype(&::cudnnGetBatchNormalizationTrainingExReserveSpaceSize) reserve_space = nullptr;
  decltype(&::cudnnBatchNormalizationForwardTrainingEx) forward = nullptr;
  decltype(&::cudnnBatchNormalizationBackwardEx) backward = nullptr;
};

// Of the cuDNN that libtorch has loaded. nullopt: none, one of another major version, or one without these functions.
std::optional<CudnnNormCalls> loaded_cudnn();

// Takes half precision with a multiple of four channels and float parameters, the only maps that cuDNN fuses. Its
// forward and backward throw Error(kInternal) with cuDNN's name of what went wrong.
std::shared_ptr<const FusedNorm> cudnn_fused_norm(const CudnnNormCalls& calls, torch::Device device);

}  // namespace imgtrain

#endif
