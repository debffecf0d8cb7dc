// A feature map that goes two ways.
#pragma once

#include <torch/torch.h>

namespace imgtrain {

// The result of a residual block as the next one reads it. The same numbers, and the same memory; in training with
// fused kernels two results of one operation, whose two gradients reach its backward apart, which adds them on the way
// (engine/kernels/batch_norm.h). Otherwise the same tensor twice, whose gradients autograd adds.
struct ForkedMap {
  torch::Tensor branch;    // For the convolutions.
  torch::Tensor shortcut;  // For what goes around them.
};

}  // namespace imgtrain
