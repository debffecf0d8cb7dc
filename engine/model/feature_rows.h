// How a feature map lies in memory when kernels are handed its address.
#pragma once

#include <torch/torch.h>

namespace imgtrain {

// `map`, N x C x H x W, as N * H * W rows of C channels without gaps, at an address that vectors of
// kernels::kVectorBytes can be read from. The same tensor where it lies like that, otherwise a copy.
torch::Tensor as_rows(const torch::Tensor& map);

}  // namespace imgtrain
