// ResNet-18/34/50/101/152 with torchvision's structure (v1.5: the stride of a bottleneck sits in its 3x3 convolution),
// parameter names and initialisation, so that weights travel both ways.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <vector>

namespace imgtrain {

struct ResNetOptions {
  int depth = 50;  // 18, 34, 50, 101 or 152. Anything else: Error(kUsage).
  int64_t num_classes = 1000;
  bool zero_init_last_gamma = false;  // Last batch norm of every block starts at 0 (torchvision's zero_init_residual).
};

// Input N x 3 x H x W, float or half, any memory format (channels_last is the fast one); output N x num_classes.
class ResNetImpl : public torch::nn::Module {
 public:
  explicit ResNetImpl(const ResNetOptions& options);
  torch::Tensor forward(torch::Tensor x);
  const ResNetOptions& options() const { return options_; }

 private:
  ResNetOptions options_;
};
TORCH_MODULE(ResNet);

}  // namespace imgtrain
