#include "engine/model/portable/summary.h"

#include <boost/json.hpp>
#include <cstdio>
#include <utility>

#include "format/error.h"
#include "format/quantity_text.h"

namespace imgtrain {
namespace {

constexpr double kMiB = 1024.0 * 1024.0;
constexpr int64_t kMaxSize = 1 << 16;  // Pixels a side; keeps every product here inside 64 bits.

// Channels, height and width of what flows between layers.
struct Shape {
  int64_t channels = 0, height = 0, width = 0;
  int64_t numbers() const { return channels * height * width; }
};

// How often a layer goes over its input and output in memory.
struct Passes {
  int forward_in = 1, forward_out = 1, backward_in = 0, backward_out = 0;
};
constexpr Passes kConv = {1, 1, 2, 2};       // Backward: x and dy for the weights, dy again for dx.
constexpr Passes kBatchNorm = {2, 1, 3, 2};  // Statistics, then normalising; backward: sums, then the gradient.
constexpr Passes kReLU = {1, 1, 1, 2};       // Backward reads y and dy and writes dx.
constexpr Passes kPool = {1, 1, 1, 1};

// Walks the network as forward() does and writes a row for every layer that finishes.
class Walk {
 public:
  Walk(const ResNetOptions& options, Shape image)
      : options_(options), architecture_(resnet_architecture(options.depth)), at_(image) {
    stem();
    batch_norm("bn1");
    relu("relu");
    pool();
    for (int stage = 0; stage < 4; ++stage) {
      for (int i = 0; i < architecture_.blocks[stage]; ++i) {
        const std::string name = "layer" + std::to_string(stage + 1) + "." + std::to_string(i);
        block(name, int64_t{64} << stage, stage > 0 && i == 0 ? 2 : 1);
      }
    }
    move_to("AdaptiveAvgPool2d", "avgpool", {at_.channels, 1, 1}, kPool);
    linear("fc", options.num_classes);
  }

  ModelSummary result;
  int64_t outputs = 0;                               // Numbers in all rows.
  double forward_numbers = 0, training_numbers = 0;  // Moved.

 private:
  LayerSummary& row(std::string kind, std::string name, int64_t parameters = 0) {
    LayerSummary layer;
    layer.kind = std::move(kind);
    layer.name = std::move(name);
    layer.output_shape = {at_.channels, at_.height, at_.width};
    layer.parameters = parameters;
    result.parameters += parameters;
    outputs += at_.numbers();
    return result.layers.emplace_back(std::move(layer));
  }

  LayerSummary& move_to(std::string kind, std::string name, Shape out, const Passes& passes, int64_t parameters = 0) {
    const auto in_numbers = static_cast<double>(at_.numbers()), out_numbers = static_cast<double>(out.numbers());
    const double forward = passes.forward_in * in_numbers + passes.forward_out * out_numbers;
    forward_numbers += forward;
    training_numbers += forward + passes.backward_in * in_numbers + passes.backward_out * out_numbers;
    at_ = out;
    return row(std::move(kind), std::move(name), parameters);
  }

  void conv(const std::string& name, int64_t out, int64_t kernel, int64_t stride) {
    const int64_t weights = out * at_.channels * kernel * kernel;
    LayerSummary& layer =
        move_to("Conv2d", name, {out, halved(at_.height, stride), halved(at_.width, stride)}, kConv, weights);
    layer.macs = weights * at_.height * at_.width;
    result.macs += layer.macs;
  }
  void batch_norm(const std::string& name) { move_to("BatchNorm2d", name, at_, kBatchNorm, 2 * at_.channels); }
  void relu(const std::string& name) { move_to("ReLU", name, at_, kReLU); }
  // Strided by `stride`, as every layer here that leaves pixels out.
  Shape strided(int64_t stride) const { return {at_.channels, halved(at_.height, stride), halved(at_.width, stride)}; }

  // (1 2 1) x (1 2 1) on every channel by itself: a convolution without parameters.
  void blur(const std::string& name, int64_t stride) {
    LayerSummary& layer = move_to("Blur2d", name, strided(stride), kConv);
    layer.macs = 9 * at_.numbers();
    result.macs += layer.macs;
  }
  // What is blurred before a strided convolution, where the options say so (engine/model/resnet.cc).
  void blur_before(const std::string& conv_name, int64_t stride) {
    if (options_.blurpool == BlurPool::kNone || stride == 1 || at_.channels < kMinBlurChannels) return;
    blur(conv_name + ".blur", 1);
  }

  void stem() {
    if (options_.stem == Stem::kPlain) return conv("conv1", 64, 7, 2);
    conv("conv1.0", 32, 3, 2);
    batch_norm("conv1.1");
    relu("conv1.2");
    conv("conv1.3", 32, 3, 1);
    batch_norm("conv1.4");
    relu("conv1.5");
    conv("conv1.6", 64, 3, 1);
  }

  void pool() {
    const bool blurred = options_.blurpool == BlurPool::kAll;
    move_to("MaxPool2d", "maxpool", strided(blurred ? 1 : 2), kPool);
    if (blurred) blur("maxpool.blur", 2);
  }

  void shortcut(const std::string& name, int64_t out, int64_t stride) {
    if (!options_.average_downsample) {
      blur_before(name + ".0", stride);
      conv(name + ".0", out, 1, stride);
      batch_norm(name + ".1");
      return;
    }
    if (stride == 1) {
      row("Identity", name + ".0");
    } else {
      move_to("AvgPool2d", name + ".0", strided(stride), kPool);
    }
    conv(name + ".1", out, 1, 1);
    batch_norm(name + ".2");
  }

  void linear(const std::string& name, int64_t out) {
    const int64_t weights = at_.channels * out;
    LayerSummary& layer = move_to("Linear", name, {out, 1, 1}, kPool, weights + out);
    layer.output_shape = {out};
    layer.macs = weights;
    result.macs += layer.macs;
  }

  void block(const std::string& name, int64_t planes, int64_t stride) {
    const Shape input = at_;
    const int64_t out = planes * architecture_.expansion();
    if (architecture_.bottleneck) {
      conv(name + ".conv1", planes, 1, 1);
      batch_norm(name + ".bn1");
      relu(name + ".relu");
      blur_before(name + ".conv2", stride);
      conv(name + ".conv2", planes, 3, stride);
      batch_norm(name + ".bn2");
      relu(name + ".relu");
      conv(name + ".conv3", out, 1, 1);
      batch_norm(name + ".bn3");
    } else {
      blur_before(name + ".conv1", stride);
      conv(name + ".conv1", planes, 3, stride);
      batch_norm(name + ".bn1");
      relu(name + ".relu");
      conv(name + ".conv2", planes, 3, 1);
      batch_norm(name + ".bn2");
    }
    if (stride != 1 || input.channels != out) {
      const Shape main = std::exchange(at_, input);
      shortcut(name + ".downsample", out, stride);
      at_ = main;
    }
    forward_numbers += 3.0 * static_cast<double>(at_.numbers());   // The addition; its backward passes gradients on.
    training_numbers += 4.0 * static_cast<double>(at_.numbers());  // Two gradients meet at the input of every block.
    relu(name + ".relu");
    row(architecture_.bottleneck ? "Bottleneck" : "BasicBlock", name);
  }

  // All layers pad by half their kernel, so only the stride has a say.
  static int64_t halved(int64_t n, int64_t stride) { return (n + stride - 1) / stride; }

  const ResNetOptions& options_;
  ResNetArchitecture architecture_;
  Shape at_;
};

std::string count_text(int64_t n) {
  return imgpack::format_count(static_cast<uint64_t>(n));
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[-1";
  for (const int64_t n : shape) text += ", " + std::to_string(n);
  return text + "]";
}

template <typename... Values>
std::string line(const char* format, Values... values) {
  char text[160];
  std::snprintf(text, sizeof text, format, values...);
  return text;
}

}  // namespace

ModelSummary summarize(const ResNetOptions& options, int64_t height, int64_t width, int bytes_per_number) {
  if (height < 1 || width < 1 || height > kMaxSize || width > kMaxSize)
    throw imgpack::Error(imgpack::ErrorKind::kUsage, "image size out of range: expected 1 to " +
                                                         std::to_string(kMaxSize) + " pixels a side, found " +
                                                         std::to_string(height) + " x " + std::to_string(width));
  if (options.num_classes < 1)
    throw imgpack::Error(imgpack::ErrorKind::kUsage,
                         "a model needs classes: expected 1 or more, found " + std::to_string(options.num_classes));
  Walk walk(options, {3, height, width});
  ModelSummary summary = std::move(walk.result);
  summary.input_mib = static_cast<double>(3 * height * width) * 4 / kMiB;
  summary.forward_backward_mib = 2.0 * static_cast<double>(walk.outputs) * 4 / kMiB;
  summary.parameters_mib = static_cast<double>(summary.parameters) * 4 / kMiB;
  summary.total_mib = summary.input_mib + summary.forward_backward_mib + summary.parameters_mib;
  summary.bytes_per_number = bytes_per_number;
  summary.forward_traffic_mib = walk.forward_numbers * bytes_per_number / kMiB;
  summary.training_traffic_mib = walk.training_numbers * bytes_per_number / kMiB;
  return summary;
}

std::string to_text(const ModelSummary& summary) {
  const std::string rule(110, '-'), double_rule(110, '=');
  std::string text =
      rule + "\n" + line("%-22s %-24s %22s %15s %20s\n", "Layer (type)", "Name", "Output shape", "Parameters", "MACs") +
      double_rule + "\n";
  int number = 0;
  for (const LayerSummary& layer : summary.layers) {
    const std::string label = layer.kind + "-" + std::to_string(++number);
    text +=
        line("%-22s %-24s %22s %15s %20s\n", label.c_str(), layer.name.c_str(), shape_text(layer.output_shape).c_str(),
             count_text(layer.parameters).c_str(), layer.macs ? count_text(layer.macs).c_str() : "");
  }
  text += double_rule + "\n";
  text += "Total parameters: " + count_text(summary.parameters) + "\n";
  text += "Multiply-adds of one image: " + count_text(summary.macs) + "\n";
  text += rule + "\n";
  text += line("Input size (MB): %.2f\n", summary.input_mib);
  text += line("Forward/backward pass size (MB): %.2f\n", summary.forward_backward_mib);
  text += line("Parameters size (MB): %.2f\n", summary.parameters_mib);
  text += line("Estimated total size (MB): %.2f\n", summary.total_mib);
  text += line("Estimated memory traffic of one image (MB), %d bytes a number: %.0f forward, %.0f in training\n",
               summary.bytes_per_number, summary.forward_traffic_mib, summary.training_traffic_mib);
  return text + rule + "\n";
}

std::string to_json(const ModelSummary& summary) {
  namespace json = boost::json;
  json::array layers;
  for (const LayerSummary& layer : summary.layers) {
    layers.push_back({{"type", layer.kind},
                      {"name", layer.name},
                      {"output_shape", json::array(layer.output_shape.begin(), layer.output_shape.end())},
                      {"parameters", layer.parameters},
                      {"macs", layer.macs}});
  }
  return json::serialize(json::object{{"layers", std::move(layers)},
                                      {"parameters", summary.parameters},
                                      {"macs", summary.macs},
                                      {"input_mib", summary.input_mib},
                                      {"forward_backward_mib", summary.forward_backward_mib},
                                      {"parameters_mib", summary.parameters_mib},
                                      {"total_mib", summary.total_mib},
                                      {"forward_traffic_mib", summary.forward_traffic_mib},
                                      {"training_traffic_mib", summary.training_traffic_mib},
                                      {"bytes_per_number", summary.bytes_per_number}});
}

}  // namespace imgtrain
