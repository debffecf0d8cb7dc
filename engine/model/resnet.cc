#include "engine/model/resnet.h"

#include <ATen/CPUGeneratorImpl.h>

#include <array>
#include <cmath>
#include <iterator>
#include <string>
#include <utility>

#include "engine/model/layer_observer.h"
#include "format/error.h"

namespace imgtrain {
namespace {

using torch::Tensor;
namespace nn = torch::nn;

nn::Conv2d conv(int64_t in, int64_t out, int64_t kernel, int64_t stride) {
  return nn::Conv2d(nn::Conv2dOptions(in, out, kernel).stride(stride).padding(kernel / 2).bias(false));
}

Tensor convolve(nn::Conv2dImpl& layer, const Tensor& x) {
  return observed(LayerKind::kConvolution, &layer, {}, {x}, [&] { return layer.forward(x); });
}
Tensor convolve(nn::Conv2d& layer, const Tensor& x) {
  return convolve(*layer, x);
}

// Convolutions, batch norms and what else stands between them, layer by layer up to `end`; a batch norm and its ReLU
// together.
Tensor run_in_order(nn::Sequential& layers, nn::SequentialImpl::Iterator end, Tensor x) {
  for (auto at = layers->begin(); at != end; ++at) {
    const std::shared_ptr<nn::Module> module = at->ptr();
    if (auto* convolution = module->as<nn::Conv2dImpl>()) {
      x = convolve(*convolution, x);
    } else if (auto* norm = dynamic_cast<BatchNorm2dImpl*>(module.get())) {
      const auto next = std::next(at);
      const bool relu = next != end && next->ptr()->as<nn::ReLUImpl>() != nullptr;
      x = relu ? norm->forward_relu(x) : norm->forward(x);
      if (relu) at = next;
    } else if (auto* pool = module->as<nn::AvgPool2dImpl>()) {
      x = observed(LayerKind::kPool, pool, {}, {x}, [&] { return pool->forward(x); });
    } else {
      x = at->forward(x);
    }
  }
  return x;
}

constexpr int kStages = 4;

// (1 2 1) x (1 2 1) / 16 on every channel by itself.
Tensor filtered(const Tensor& x, int64_t stride) {
  const Tensor row = torch::tensor({1.0, 2.0, 1.0}, x.options().requires_grad(false)) / 4.0;
  const Tensor filter = torch::outer(row, row).expand({x.size(1), 1, 3, 3}).contiguous();
  return at::conv2d(x, filter, /*bias=*/{}, /*stride=*/stride, /*padding=*/1, /*dilation=*/1, /*groups=*/x.size(1));
}
Tensor blur(const Tensor& x, int64_t stride) {
  return observed(LayerKind::kBlur, nullptr, "blur", {x}, [&] { return filtered(x, stride); });
}

}  // namespace

// What ResNetImpl needs of a block, whichever kind it is. Submodules are registered in torchvision's order, so that
// parameters() has the same order there and here.
class ResidualBlock : public nn::Module {
 public:
  ResidualBlock(const ResNetOptions& options, int64_t in, int64_t stride)
      : average_downsample_(options.average_downsample),
        blurs_(options.blurpool != BlurPool::kNone),
        in_(in),
        stride_(stride) {}

  // `forks`: another block follows.
  virtual ForkedMap run(const ForkedMap& x, bool forks) = 0;
  virtual BatchNorm2d last_norm() const = 0;
  Tensor forward(const Tensor& x) { return run({x, x}, /*forks=*/false).branch; }
  void set_branch_scale(const Tensor& scale) { branch_scale_ = scale; }

 protected:
  void register_downsample(int64_t out) {
    if (average_downsample_) {
      nn::Sequential layers;
      if (stride_ == 1) {
        layers->push_back(nn::Identity());
      } else {
        layers->push_back(
            nn::AvgPool2d(nn::AvgPool2dOptions(2).stride(stride_).ceil_mode(true).count_include_pad(false)));
      }
      layers->push_back(conv(in_, out, 1, 1));
      layers->push_back(BatchNorm2d(out));
      downsample = register_module("downsample", layers);
    } else {
      downsample = register_module("downsample", nn::Sequential(conv(in_, out, 1, stride_), BatchNorm2d(out)));
    }
  }
  // What goes around the branch.
  Tensor around(const Tensor& x) { return downsample ? downsample_norm().forward(before_norm(x)) : x; }
  // Of a downsampled shortcut: what its batch norm is given, and that batch norm.
  Tensor before_norm(const Tensor& x) {
    return run_in_order(downsample, std::prev(downsample->end()), average_downsample_ ? x : blur_before(x, in_));
  }
  BatchNorm2dImpl& downsample_norm() {
    return dynamic_cast<BatchNorm2dImpl&>(*downsample->ptr(downsample->size() - 1));
  }
  // A strided convolution's input of so many channels, blurred where the options say so.
  Tensor blur_before(const Tensor& x, int64_t channels) const {
    return blurs_ && stride_ > 1 && channels >= kMinBlurChannels ? blur(x, 1) : x;
  }
  // relu(norm(branch) + around(x)).
  ForkedMap join(BatchNorm2d& norm, const Tensor& branch, const Tensor& x, bool forks) {
    if (!branch_scale_.defined() || !is_training()) {
      if (downsample) return norm->add_norm_relu(branch, before_norm(x), downsample_norm(), forks);
      return norm->add_relu(branch, x, forks);
    }
    // In place: no one else holds a batch norm's output, and its backward needs only its input.
    Tensor normed = norm->forward(branch);
    normed.mul_(branch_scale_.to(normed.device(), normed.scalar_type()).view({-1, 1, 1, 1}));
    normed.add_(around(x)).relu_();
    return {normed, normed};
  }

  nn::Sequential downsample{nullptr};

 private:
  bool average_downsample_, blurs_;
  int64_t in_, stride_;
  Tensor branch_scale_;
};

namespace {

class BasicBlock : public ResidualBlock {
 public:
  static constexpr int64_t kExpansion = 1;

  BasicBlock(const ResNetOptions& options, int64_t in, int64_t planes, int64_t stride)
      : ResidualBlock(options, in, stride),
        in_(in),
        conv1(register_module("conv1", conv(in, planes, 3, stride))),
        bn1(register_module("bn1", BatchNorm2d(planes))),
        conv2(register_module("conv2", conv(planes, planes, 3, 1))),
        bn2(register_module("bn2", BatchNorm2d(planes))) {
    if (stride != 1 || in != planes) register_downsample(planes);
  }

  ForkedMap run(const ForkedMap& x, bool forks) override {
    const Tensor y = bn1->forward_relu(convolve(conv1, blur_before(x.branch, in_)));
    return join(bn2, convolve(conv2, y), x.shortcut, forks);
  }
  BatchNorm2d last_norm() const override { return bn2; }

 private:
  int64_t in_;
  nn::Conv2d conv1;
  BatchNorm2d bn1;
  nn::Conv2d conv2;
  BatchNorm2d bn2;
};

class Bottleneck : public ResidualBlock {
 public:
  static constexpr int64_t kExpansion = 4;

  Bottleneck(const ResNetOptions& options, int64_t in, int64_t planes, int64_t stride)
      : ResidualBlock(options, in, stride),
        planes_(planes),
        conv1(register_module("conv1", conv(in, planes, 1, 1))),
        bn1(register_module("bn1", BatchNorm2d(planes))),
        conv2(register_module("conv2", conv(planes, planes, 3, stride))),
        bn2(register_module("bn2", BatchNorm2d(planes))),
        conv3(register_module("conv3", conv(planes, planes * kExpansion, 1, 1))),
        bn3(register_module("bn3", BatchNorm2d(planes * kExpansion))) {
    if (stride != 1 || in != planes * kExpansion) register_downsample(planes * kExpansion);
  }

  ForkedMap run(const ForkedMap& x, bool forks) override {
    Tensor y = bn1->forward_relu(convolve(conv1, x.branch));
    y = bn2->forward_relu(convolve(conv2, blur_before(y, planes_)));
    return join(bn3, convolve(conv3, y), x.shortcut, forks);
  }
  BatchNorm2d last_norm() const override { return bn3; }

 private:
  int64_t planes_;
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
  if (options.stem == Stem::kDeep) {
    deep_conv1 = register_module(
        "conv1", nn::Sequential(conv(3, 32, 3, 2), BatchNorm2d(32), nn::ReLU(nn::ReLUOptions(true)), conv(32, 32, 3, 1),
                                BatchNorm2d(32), nn::ReLU(nn::ReLUOptions(true)), conv(32, in_planes_, 3, 1)));
  } else {
    conv1 = register_module("conv1", conv(3, in_planes_, 7, 2));
  }
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
      const auto block = std::make_shared<Bottleneck>(options_, in_planes_, planes, stride);
      layer->push_back(block);
      blocks_.push_back(block);
      in_planes_ = planes * Bottleneck::kExpansion;
    } else {
      const auto block = std::make_shared<BasicBlock>(options_, in_planes_, planes, stride);
      layer->push_back(block);
      blocks_.push_back(block);
      in_planes_ = planes * BasicBlock::kExpansion;
    }
  }
  return layer;
}

void ResNetImpl::initialize() {
  torch::NoGradGuard no_grad;
  const auto generator = at::make_generator<at::CPUGeneratorImpl>(options_.seed);
  const bool composer = options_.weight_rule == WeightRule::kComposer;
  for (const auto& module : modules(/*include_self=*/false)) {
    if (const auto* layer = module->as<nn::Conv2d>()) {
      Tensor weight = layer->weight;
      const double fan = static_cast<double>(weight.size(composer ? 1 : 0) * weight.size(2) * weight.size(3));
      weight.normal_(0.0, std::sqrt(2.0 / fan), generator);
    } else if (auto* norm = dynamic_cast<BatchNorm2dImpl*>(module.get())) {
      if (composer) norm->weight.uniform_(0, 1, generator);
    }
  }
  if (composer) {
    fc->weight.normal_(0.0, std::sqrt(2.0 / static_cast<double>(in_planes_)), generator);
    fc->bias.fill_(-std::log(static_cast<double>(options_.num_classes)));
  } else {
    const double bound = 1.0 / std::sqrt(static_cast<double>(in_planes_));
    fc->weight.uniform_(-bound, bound, generator);
    fc->bias.uniform_(-bound, bound, generator);
  }
  if (!options_.zero_init_last_gamma) return;
  for (const auto& block : blocks_) block->last_norm()->weight.zero_();
}

void ResNetImpl::scale_branches(const torch::Tensor& scales) {
  for (size_t i = 0; i < blocks_.size(); ++i)
    blocks_[i]->set_branch_scale(scales.defined() ? scales[static_cast<int64_t>(i)] : Tensor());
}

torch::Tensor ResNetImpl::features(torch::Tensor x, int stage) {
  x = bn1->forward_relu(deep_conv1 ? run_in_order(deep_conv1, deep_conv1->end(), x) : convolve(conv1, x));
  const bool blurs = options_.blurpool == BlurPool::kAll;
  x = observed(LayerKind::kPool, nullptr, "maxpool", {x},
               [&] { return torch::max_pool2d(x, /*kernel_size=*/3, /*stride=*/blurs ? 1 : 2, /*padding=*/1); });
  if (blurs) x = blur(x, /*stride=*/2);
  return run_stages(x, 0, stage);
}

torch::Tensor ResNetImpl::run_stages(const Tensor& x, int from, int to) {
  const nn::Sequential* const layers[] = {&layer1, &layer2, &layer3, &layer4};
  size_t block = 0;
  for (int stage = 0; stage < from; ++stage) block += (*layers[stage])->size();
  ForkedMap map = {x, x};
  for (int stage = from; stage < to; ++stage) {
    for (const size_t end = block + (*layers[stage])->size(); block < end; ++block)
      map = blocks_[block]->run(map, /*forks=*/block + 1 < blocks_.size());
  }
  return map.branch;
}

torch::Tensor ResNetImpl::classify(torch::Tensor features, int stage) {
  features = run_stages(features, stage, kStages);
  const Tensor means = observed(LayerKind::kPool, nullptr, "avgpool", {features}, [&] {
    return torch::adaptive_avg_pool2d(features, {1, 1}).flatten(1);
  });
  return observed(LayerKind::kClassifier, fc.get(), {}, {means}, [&] { return fc->forward(means); });
}

torch::Tensor ResNetImpl::forward(torch::Tensor x) {
  return classify(features(std::move(x)));
}

void to_channels_last(torch::nn::Module& model) {
  for (Tensor& parameter : model.parameters())
    if (parameter.dim() == 4) parameter.set_data(parameter.data().contiguous(at::MemoryFormat::ChannelsLast));
}

void to_double(torch::nn::Module& model) {
  const auto convert = [](Tensor& tensor) {
    if (tensor.is_floating_point()) tensor.set_data(tensor.data().to(torch::kDouble));
  };
  for (Tensor& parameter : model.parameters()) convert(parameter);
  for (Tensor& buffer : model.buffers()) convert(buffer);
}

int64_t parameter_count(const torch::nn::Module& model) {
  int64_t count = 0;
  for (const Tensor& parameter : model.parameters()) count += parameter.numel();
  return count;
}

}  // namespace imgtrain
