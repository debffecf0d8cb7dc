// The launchers of engine/kernels, made from the very same .cu files by the host's compiler. Memory is the host's,
// streams are ignored, and a call has done its work when it returns.
#pragma once

#include "engine/kernels/batch_norm.h"
#include "engine/kernels/group_images.h"

namespace imgtrain::kernels {

KernelStatus emulate_batch_norm_forward(const BatchNormForward& arguments, Stream stream);
KernelStatus emulate_batch_norm_backward(const BatchNormBackward& arguments, Stream stream);
KernelStatus emulate_group_images(const GroupImages& arguments, Stream stream);

inline constexpr BatchNormLaunchers kEmulatedBatchNorm = {emulate_batch_norm_forward, emulate_batch_norm_backward};

}  // namespace imgtrain::kernels
