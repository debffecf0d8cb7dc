// ResNet-18/34/50/101/152 with torchvision's structure (v1.5: the stride of a bottleneck sits in its 3x3 convolution),
// parameter names and initialisation, so that weights travel both ways.
//
//   conv1 7x7/2 - bn1 - relu - maxpool 3x3/2 - layer1 - layer2 (/2) - layer3 (/2) - layer4 (/2) - mean - fc
//
// Options: ResNet-D's stem and shortcuts under timm's names (conv1.0, conv1.1, conv1.3 …, downsample.1), blurs that
// have no weights and no names, and stochastic depth.
//
// Source: He et al., arXiv 1512.03385; torchvision 0.26 models/resnet.py and timm 1.0.22 models/resnet.py for names and
// initialisation.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <vector>

#include "engine/model/batch_norm.h"
#include "engine/model/portable/resnet_options.h"

namespace imgtrain {

class ResidualBlock;

// Input N x 3 x H x W, float or half, any memory format (channels_last is the fast one); output N x num_classes.
// Parameters are made on the CPU in float; move them with to().
class ResNetImpl : public torch::nn::Module {
 public:
  explicit ResNetImpl(const ResNetOptions& options);
  torch::Tensor forward(torch::Tensor x);
  // The output of stage `stage` (1: layer1 … 4: layer4): N x C x H x W, before anything is averaged.
  torch::Tensor features(torch::Tensor x, int stage = 4);
  // features(x, stage) -> logits. Leaves its argument as it is.
  torch::Tensor classify(torch::Tensor features, int stage = 4);
  const ResNetOptions& options() const { return options_; }
  size_t blocks() const { return blocks_.size(); }
  // Stochastic depth: from now on the branch of block b is multiplied by scales[b][i] for image i of the batch before
  // the shortcut is added. blocks() x images, any device and type; an undefined tensor switches it off.
  void scale_branches(const torch::Tensor& scales);

 private:
  torch::nn::Sequential make_layer(int64_t planes, int blocks, int64_t stride);
  void initialize();
  // The output of stage `to`, from that of stage `from`.
  torch::Tensor run_stages(const torch::Tensor& x, int from, int to);

  ResNetOptions options_;
  int64_t in_planes_ = 64;
  std::vector<std::shared_ptr<ResidualBlock>> blocks_;  // In order of execution.
  torch::nn::Conv2d conv1{nullptr};                     // Of the plain stem.
  torch::nn::Sequential deep_conv1{nullptr};            // Of the deep one; its name is conv1 too.
  BatchNorm2d bn1{nullptr};
  torch::nn::Sequential layer1{nullptr}, layer2{nullptr}, layer3{nullptr}, layer4{nullptr};
  torch::nn::Linear fc{nullptr};
};
TORCH_MODULE(ResNet);

// Lays every 4-d parameter out channels-last in place; inputs should be laid out so as well.
void to_channels_last(torch::nn::Module& model);

// Parameters and statistics in double precision. Counters stay whole numbers, which Module::to would not leave alone.
void to_double(torch::nn::Module& model);

int64_t parameter_count(const torch::nn::Module& model);

}  // namespace imgtrain
