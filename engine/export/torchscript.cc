#include "engine/export/torchscript.h"

#include <torch/script.h>

#include <sstream>
#include <utility>
#include <vector>

#include "engine/model/portable/pixel_statistics.h"
#include "engine/train/run/json_text.h"

namespace imgtrain {
namespace {

using torch::jit::Module;

std::string list_text(const std::vector<std::string>& items) {
  std::string text("[");
  for (const std::string& item : items) {
    if (text.size() > 1) text.append(", ");
    text.append(item);
  }
  return text.append("]");
}

std::string pair_text(int64_t n) {
  return list_text({std::to_string(n), std::to_string(n)});
}

// Makes modules that share one compilation unit, which is what one Python program would be.
class Builder {
 public:
  explicit Builder(const ExportWeights& weights)
      : weights_(weights),
        architecture_(resnet_architecture(weights.options.depth)),
        unit_(std::make_shared<torch::jit::CompilationUnit>()) {}

  Module network(const std::optional<ImageView>& preprocessing);

 private:
  Module make(const std::string& type) const {
    Module module(c10::QualifiedName("__torch__.imgtrain." + type), unit_, /*shouldMangle=*/true);
    module.register_attribute("training", c10::BoolType::get(), false);
    return module;
  }
  void parameter(Module& module, const std::string& name, const std::string& full, bool buffer = false) const {
    module.register_parameter(name, weights_.at(full).detach(), buffer);
  }
  Module conv(const std::string& name, int64_t stride) const;
  Module norm(const std::string& name) const;
  Module sequential(std::vector<std::pair<std::string, Module>> children) const;
  // `x = self.NORM.forward(x)`, or nothing where the norm was folded away.
  std::string norm_call(const std::string& full, const std::string& own) const {
    return weights_.has(full + ".weight") ? "    y = self." + own + ".forward(y)\n" : std::string();
  }
  void add_norm(Module& parent, const std::string& full, const std::string& own) const {
    if (weights_.has(full + ".weight")) parent.register_module(own, norm(full));
  }
  Module block(const std::string& prefix, int64_t in, int64_t stride) const;
  std::optional<Module> downsample(const std::string& prefix, int64_t stride) const;
  Module deep_stem() const;
  static void define_blur(Module& module);
  static void define_preprocessing(Module& module, const ImageView& view);

  const ExportWeights& weights_;
  ResNetArchitecture architecture_;
  std::shared_ptr<torch::jit::CompilationUnit> unit_;
};

Module Builder::conv(const std::string& name, int64_t stride) const {
  Module module = make("Conv2d");
  parameter(module, "weight", name + ".weight");
  const bool bias = weights_.has(name + ".bias");
  if (bias) parameter(module, "bias", name + ".bias");
  const int64_t padding = weights_.at(name + ".weight").size(2) / 2;
  module.define("def forward(self, x):\n    return torch.conv2d(x, self.weight, " +
                std::string(bias ? "self.bias" : "None") + ", " + pair_text(stride) + ", " + pair_text(padding) +
                ", [1, 1], 1)\n");
  return module;
}

Module Builder::norm(const std::string& name) const {
  Module module = make("BatchNorm2d");
  parameter(module, "weight", name + ".weight");
  parameter(module, "bias", name + ".bias");
  parameter(module, "running_mean", name + ".running_mean", true);
  parameter(module, "running_var", name + ".running_var", true);
  parameter(module, "num_batches_tracked", name + ".num_batches_tracked", true);
  module.define(
      "def forward(self, x):\n    return torch.batch_norm(x, self.weight, self.bias, self.running_mean, "
      "self.running_var, False, 0.1, 1e-05, True)\n");
  return module;
}

// Children with numbers as names, called one after another; those without a module are written as their text.
Module Builder::sequential(std::vector<std::pair<std::string, Module>> children) const {
  Module module = make("Sequential");
  std::string source = "def forward(self, x):\n";
  for (auto& [name, child] : children) {
    module.register_module(name, child);
    source += "    x = getattr(self, \"" + name + "\").forward(x)\n";
  }
  module.define(source + "    return x\n");
  return module;
}

// (1 2 1) x (1 2 1) / 16 on every channel by itself, in the type and on the device of what it blurs.
void Builder::define_blur(Module& module) {
  module.define(
      "def blur(self, x, stride: int):\n"
      "    row = torch.tensor([0.25, 0.5, 0.25]).to(x)\n"
      "    channels = x.size(1)\n"
      "    filter = torch.outer(row, row).expand([channels, 1, 3, 3]).contiguous()\n"
      "    return torch.conv2d(x, filter, None, [stride, stride], [1, 1], [1, 1], channels)\n");
}

std::optional<Module> Builder::downsample(const std::string& prefix, int64_t stride) const {
  const bool average = weights_.options.average_downsample;
  const std::string name = prefix + "downsample.", first = average ? "1" : "0", second = average ? "2" : "1";
  if (!weights_.has(name + first + ".weight")) return std::nullopt;
  Module module = make("Downsample");
  std::string source = "def forward(self, x):\n";
  if (average && stride > 1)
    source += "    x = torch.avg_pool2d(x, [2, 2], " + pair_text(stride) + ", [0, 0], True, False)\n";
  module.register_module(first, conv(name + first, average ? 1 : stride));
  source += "    x = getattr(self, \"" + first + "\").forward(x)\n";
  if (weights_.has(name + second + ".running_mean")) {
    module.register_module(second, norm(name + second));
    source += "    x = getattr(self, \"" + second + "\").forward(x)\n";
  }
  module.define(source + "    return x\n");
  return module;
}

Module Builder::block(const std::string& prefix, int64_t in, int64_t stride) const {
  const bool bottleneck = architecture_.bottleneck;
  const int convolutions = bottleneck ? 3 : 2, strided = bottleneck ? 2 : 1;
  Module module = make(bottleneck ? "Bottleneck" : "BasicBlock");
  const bool blurs = weights_.options.blurpool != BlurPool::kNone && stride > 1;
  if (blurs) define_blur(module);
  std::string source = "def forward(self, x):\n    y = x\n";
  for (int i = 1; i <= convolutions; ++i) {
    const std::string number = std::to_string(i), full = prefix + "conv" + number;
    module.register_module("conv" + number, conv(full, i == strided ? stride : 1));
    add_norm(module, prefix + "bn" + number, "bn" + number);
    if (blurs && i == strided && weights_.at(full + ".weight").size(1) >= kMinBlurChannels)
      source += "    y = self.blur(y, 1)\n";
    source += "    y = self.conv" + number + ".forward(y)\n" + norm_call(prefix + "bn" + number, "bn" + number);
    if (i < convolutions) source += "    y = torch.relu(y)\n";
  }
  if (const auto shortcut = downsample(prefix, stride)) {
    module.register_module("downsample", *shortcut);
    if (blurs && !weights_.options.average_downsample && in >= kMinBlurChannels) source += "    x = self.blur(x, 1)\n";
    source += "    x = self.downsample.forward(x)\n";
  }
  module.define(source + "    return torch.relu(y + x)\n");
  return module;
}

Module Builder::deep_stem() const {
  Module module = make("Stem");
  std::string source = "def forward(self, x):\n";
  const auto call = [&](const std::string& name) { source += "    x = getattr(self, \"" + name + "\").forward(x)\n"; };
  for (const auto& [convolution, norm_name] : {std::pair("0", "1"), std::pair("3", "4"), std::pair("6", "")}) {
    const std::string convolution_name = convolution, own_norm = norm_name;
    module.register_module(convolution_name, conv("conv1." + convolution_name, convolution_name == "0" ? 2 : 1));
    call(convolution_name);
    if (own_norm.empty()) continue;
    if (weights_.has("conv1." + own_norm + ".weight")) {
      module.register_module(own_norm, norm("conv1." + own_norm));
      call(own_norm);
    }
    source += "    x = torch.relu(x)\n";
  }
  module.define(source + "    return x\n");
  return module;
}

// Resize and centre crop as engine/data/augment.cc calculates them, the result rounded to bytes as there. libtorch's
// antialiased filters are Pillow's but for rounding between the two passes: at most a step or two of 255.
void Builder::define_preprocessing(Module& module, const ImageView& view) {
  const std::string size = std::to_string(view.size), resize = std::to_string(view.resize);
  const std::string filter = view.filter == imgpack::jpeg::Filter::kBilinear ? "torch._upsample_bilinear2d_aa"
                                                                             : "torch._upsample_bicubic2d_aa";
  std::string source = "def preprocess(self, images):\n    x = images.permute([0, 3, 1, 2]).to(6)\n";  // 6: float32
  source += "    height = x.size(2)\n    width = x.size(3)\n    short = min(height, width)\n";
  if (view.crop_ratio > 0) {
    source += "    side = max(1, int(" + number_text(view.crop_ratio) + " * short))\n";
    source += "    top = (height - side) // 2\n    left = (width - side) // 2\n";
    source += "    x = x[:, :, top:top + side, left:left + side]\n";
    source += "    x = " + filter + "(x, [" + size + ", " + size + "], False, None, None)\n";
  } else {
    source += "    new_height = " + resize + " * height // short\n    new_width = " + resize + " * width // short\n";
    source += "    x = " + filter + "(x, [new_height, new_width], False, None, None)\n";
    // The middle, to the nearest pixel, halves to the even one.
    source += "    top = (new_height - " + size + ") // 2\n    left = (new_width - " + size + ") // 2\n";
    source += "    top = top + ((new_height - " + size + ") % 2) * (top % 2)\n";
    source += "    left = left + ((new_width - " + size + ") % 2) * (left % 2)\n";
    source += "    x = x[:, :, top:top + " + size + ", left:left + " + size + "]\n";
  }
  const auto list = [](const std::array<double, 3>& values) {
    return list_text({number_text(values[0]), number_text(values[1]), number_text(values[2])});
  };
  source += "    x = x.round().clamp(0.0, 255.0) / 255.0\n";
  source += "    mean = torch.tensor(" + list(kPixelMean) + ").to(x).view([1, 3, 1, 1])\n";
  source += "    deviation = torch.tensor(" + list(kPixelDeviation) + ").to(x).view([1, 3, 1, 1])\n";
  module.define(source + "    return (x - mean) / deviation\n");
}

Module Builder::network(const std::optional<ImageView>& preprocessing) {
  const ResNetOptions& options = weights_.options;
  Module module = make("ResNet");
  module.register_module("conv1", options.stem == Stem::kDeep ? deep_stem() : conv("conv1", 2));
  add_norm(module, "bn1", "bn1");
  std::string source = "def forward(self, x):\n";
  if (preprocessing) {
    define_preprocessing(module, *preprocessing);
    source += "    x = self.preprocess(x)\n";
  }
  source += "    y = self.conv1.forward(x)\n" + norm_call("bn1", "bn1") + "    y = torch.relu(y)\n";
  if (options.blurpool == BlurPool::kAll) {
    define_blur(module);
    source += "    y = self.blur(torch.max_pool2d(y, [3, 3], [1, 1], [1, 1], [1, 1], False), 2)\n";
  } else {
    source += "    y = torch.max_pool2d(y, [3, 3], [2, 2], [1, 1], [1, 1], False)\n";
  }
  int64_t in = 64;
  for (int stage = 0; stage < 4; ++stage) {
    const std::string name = "layer" + std::to_string(stage + 1);
    std::vector<std::pair<std::string, Module>> blocks;
    for (int i = 0; i < architecture_.blocks[static_cast<size_t>(stage)]; ++i) {
      blocks.emplace_back(std::to_string(i),
                          block(name + "." + std::to_string(i) + ".", in, i == 0 && stage > 0 ? 2 : 1));
      in = (int64_t{64} << stage) * architecture_.expansion();
    }
    module.register_module(name, sequential(std::move(blocks)));
    source += "    y = self." + name + ".forward(y)\n";
  }
  Module classifier = make("Linear");
  parameter(classifier, "weight", "fc.weight");
  parameter(classifier, "bias", "fc.bias");
  classifier.define("def forward(self, x):\n    return torch.linear(x, self.weight, self.bias)\n");
  module.register_module("fc", classifier);
  source += "    y = torch.flatten(torch.adaptive_avg_pool2d(y, [1, 1]), 1)\n    return self.fc.forward(y)\n";
  module.define(source);
  return module;
}

}  // namespace

std::string to_torchscript(const ExportWeights& weights, const TorchScriptOptions& options) {
  Module module = Builder(weights).network(options.preprocessing);
  if (options.freeze) module = torch::jit::freeze(module);
  torch::jit::ExtraFilesMap extra;
  if (!options.card.empty()) extra["model-card.json"] = options.card;
  std::ostringstream archive;
  module.save(archive, extra);
  return std::move(archive).str();
}

}  // namespace imgtrain
