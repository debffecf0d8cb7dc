#include "engine/model/resnet.h"

#include <ATen/CPUGeneratorImpl.h>

#include <array>
#include <cmath>
#include <string>
#include <utility>

#include "format/error.h"

namespace imgtrain {
namespace {

using torch::Tensor;
namespace nn = torch::nn;

nn::Conv2d conv(int64_t in, int64_t out, int64_t kernel, int64_t stride) {
  return nn::Conv2d(nn::Conv2dOptions(in, out, kernel).stride(stride).padding(kernel / 2).bias(false));
}

}  // namespace

// What ResNetImpl needs of a block, whichever kind it is. Submodules are registered in torchvision's order, so that
// parameters() has the same order there and here.
class ResidualBlock : public nn::Module {
 public:
  virtual Tensor forward(const Tensor& x) = 0;
  virtual BatchNorm2d last_norm() const = 0;

 protected:
  void register_downsample(int64_t in, int64_t out, int64_t stride) {
    downsample = register_module("downsample", nn::Sequential(conv(in, out, 1, stride), BatchNorm2d(out)));
  }
  Tensor shortcut(const Tensor& x) { return downsample ? downsample->forward(x) : x; }

  nn::Sequential downsample{nullptr};
};

namespace {

class BasicBlock : public ResidualBlock {
 public:
  static constexpr int64_t kExpansion = 1;

  BasicBlock(int64_t in, int64_t planes, int64_t stride)
      : conv1(register_module("conv1", conv(in, planes, 3, stride))),
        bn1(register_module("bn1", BatchNorm2d(planes))),
        conv2(register_module("conv2", conv(planes, planes, 3, 1))),
        bn2(register_module("bn2", BatchNorm2d(planes))) {
    if (stride != 1 || in != planes) register_downsample(in, planes, stride);
  }

  // The additions and ReLUs work in place: no one else holds a batch norm's output, and its backward needs only its
  // input.
  Tensor forward(const Tensor& x) override {
    Tensor y = bn1->forward(conv1->forward(x)).relu_();
    y = bn2->forward(conv2->forward(y));
    return y.add_(shortcut(x)).relu_();
  }
  BatchNorm2d last_norm() const override { return bn2; }

 private:
  nn::Conv2d conv1;
  BatchNorm2d bn1;
  nn::Conv2d conv2;
  BatchNorm2d bn2;
};

class Bottleneck : public ResidualBlock {
 public:
  static constexpr int64_t kExpansion = 4;

  Bottleneck(int64_t in, int64_t planes, int64_t stride)
      : conv1(register_module("conv1", conv(in, planes, 1, 1))),
        bn1(register_module("bn1", BatchNorm2d(planes))),
        conv2(register_module("conv2", conv(planes, planes, 3, stride))),
        bn2(register_module("bn2", BatchNorm2d(planes))),
        conv3(register_module("conv3", conv(planes, planes * kExpansion, 1, 1))),
        bn3(register_module("bn3", BatchNorm2d(planes * kExpansion))) {
    if (stride != 1 || in != planes * kExpansion) register_downsample(in, planes * kExpansion, stride);
  }

  Tensor forward(const Tensor& x) override {
    Tensor y = bn1->forward(conv1->forward(x)).relu_();
    y = bn2->forward(conv2->forward(y)).relu_();
    y = bn3->forward(conv3->forward(y));
    return y.add_(shortcut(x)).relu_();
  }
  BatchNorm2d last_norm() const override { return bn3; }

 private:
  nn::Conv2d conv1;
  BatchNorm2d bn1;
  nn::Conv2d conv2;
  BatchNorm2d bn2;
  nn::Conv2d conv3;
  BatchNorm2d bn3;
};

}  // namespace

ResNetImpl::ResNetImpl(const ResNetOptions& options) : options_(options) {
  const ResNetArchitecture architecture = resnet_architecture(options.depth);
  if (options.num_classes < 1)
    throw imgpack::Error(imgpack::ErrorKind::kUsage,
                         "a model needs classes: expected 1 or more, found " + std::to_string(options.num_classes));
  conv1 = register_module("conv1", conv(3, in_planes_, 7, 2));
  bn1 = register_module("bn1", BatchNorm2d(in_planes_));
  layer1 = register_module("layer1", make_layer(64, architecture.blocks[0], 1));
  layer2 = register_module("layer2", make_layer(128, architecture.blocks[1], 2));
  layer3 = register_module("layer3", make_layer(256, architecture.blocks[2], 2));
  layer4 = register_module("layer4", make_layer(512, architecture.blocks[3], 2));
  fc = register_module("fc", nn::Linear(in_planes_, options.num_classes));
  initialize();
}

torch::nn::Sequential ResNetImpl::make_layer(int64_t planes, int blocks, int64_t stride) {
  const bool bottleneck = resnet_architecture(options_.depth).bottleneck;
  nn::Sequential layer;
  for (int i = 0; i < blocks; ++i, stride = 1) {
    if (bottleneck) {
      layer->push_back(std::make_shared<Bottleneck>(in_planes_, planes, stride));
      in_planes_ = planes * Bottleneck::kExpansion;
    } else {
      layer->push_back(std::make_shared<BasicBlock>(in_planes_, planes, stride));
      in_planes_ = planes * BasicBlock::kExpansion;
    }
  }
  return layer;
}

// torchvision's: kaiming-normal over the fan-out for convolutions, 1 and 0 for batch norms (which they have already),
// and the uniform default of a linear layer.
void ResNetImpl::initialize() {
  torch::NoGradGuard no_grad;
  const auto generator = at::make_generator<at::CPUGeneratorImpl>(options_.seed);
  for (const auto& module : modules(/*include_self=*/false)) {
    if (const auto* layer = module->as<nn::Conv2d>()) {
      const double fan_out = static_cast<double>(layer->weight.size(0) * layer->weight.size(2) * layer->weight.size(3));
      Tensor weight = layer->weight;
      weight.normal_(0.0, std::sqrt(2.0 / fan_out), generator);
    } else if (const auto* block = dynamic_cast<const ResidualBlock*>(module.get())) {
      if (options_.zero_init_last_gamma) block->last_norm()->weight.zero_();
    }
  }
  const double bound = 1.0 / std::sqrt(static_cast<double>(in_planes_));
  fc->weight.uniform_(-bound, bound, generator);
  fc->bias.uniform_(-bound, bound, generator);
}

torch::Tensor ResNetImpl::features(torch::Tensor x) {
  x = bn1->forward(conv1->forward(x)).relu_();
  x = torch::max_pool2d(x, /*kernel_size=*/3, /*stride=*/2, /*padding=*/1);
  x = layer1->forward(x);
  x = layer2->forward(x);
  x = layer3->forward(x);
  return layer4->forward(x);
}

torch::Tensor ResNetImpl::classify(const torch::Tensor& features) {
  return fc->forward(torch::adaptive_avg_pool2d(features, {1, 1}).flatten(1));
}

torch::Tensor ResNetImpl::forward(torch::Tensor x) {
  return classify(features(std::move(x)));
}

void to_channels_last(torch::nn::Module& model) {
  for (Tensor& parameter : model.parameters())
    if (parameter.dim() == 4) parameter.set_data(parameter.data().contiguous(at::MemoryFormat::ChannelsLast));
}

int64_t parameter_count(const torch::nn::Module& model) {
  int64_t count = 0;
  for (const Tensor& parameter : model.parameters()) count += parameter.numel();
  return count;
}

}  // namespace imgtrain
