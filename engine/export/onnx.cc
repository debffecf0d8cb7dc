#include "engine/export/onnx.h"

#include <torch/csrc/jit/ir/ir.h>

// libtorch brings its own copy of ONNX under this name; the header only forward-declares what is in it.
#ifndef ONNX_NAMESPACE
#define ONNX_NAMESPACE onnx_torch
#endif
#include <torch/csrc/jit/serialization/export.h>

#include <utility>
#include <vector>

#include "engine/model/portable/pixel_statistics.h"

namespace imgtrain {
namespace {

using torch::jit::Graph;
using torch::jit::Node;
using torch::jit::Symbol;
using torch::jit::Value;

constexpr int64_t kOperatorSet = 18;  // The first whose Resize has antialiasing.
constexpr int64_t kOnnxFloat = 1;     // TensorProto.DataType
constexpr int64_t kOnnxInt64 = 7;
constexpr int64_t kOnnxDouble = 11;

class Builder {
 public:
  Builder(const ExportWeights& weights, const OnnxOptions& options)
      : weights_(weights), options_(options), graph_(std::make_shared<Graph>()) {}

  std::string write();

 private:
  Value* node(const char* op, const std::vector<Value*>& inputs,
              const std::vector<std::pair<const char*, std::vector<int64_t>>>& lists = {},
              const std::vector<std::pair<const char*, int64_t>>& numbers = {}) {
    Node* made = graph_->create(Symbol::fromQualString(std::string("onnx::") + op), inputs, 1);
    for (const auto& [name, values] : lists) made->is_(Symbol::attr(name), values);
    for (const auto& [name, value] : numbers) made->i_(Symbol::attr(name), value);
    return graph_->appendNode(made)->output();
  }
  Value* constant(const torch::Tensor& tensor) {
    Node* made = graph_->create(Symbol::fromQualString("onnx::Constant"), 1);
    made->t_(Symbol::attr("value"), tensor);
    return graph_->appendNode(made)->output();
  }
  Value* integers(const std::vector<int64_t>& values) { return constant(torch::tensor(values, torch::kLong)); }
  Value* initializer(const std::string& name) {
    const torch::Tensor& tensor = weights_.at(name);
    Value* value = graph_->addInput(name);
    value->setType(c10::TensorType::create(tensor));
    initializers_[name] = tensor;
    return value;
  }

  Value* relu(Value* x) { return node("Relu", {x}); }
  Value* conv(Value* x, const std::string& name, int64_t stride);
  Value* norm(Value* x, const std::string& name);
  Value* blur(Value* x, int64_t channels, int64_t stride);
  Value* max_pool(Value* x, int64_t stride) {
    return node("MaxPool", {x}, {{"kernel_shape", {3, 3}}, {"pads", {1, 1, 1, 1}}, {"strides", {stride, stride}}});
  }
  Value* shortcut(Value* x, const std::string& prefix, int64_t in, int64_t stride);
  Value* block(Value* x, const std::string& prefix, int64_t in, int64_t stride);
  Value* preprocess(Value* images, const ImageView& view);
  Value* network(Value* x);
  bool blurs(int64_t channels, int64_t stride) const {
    return weights_.options.blurpool != BlurPool::kNone && stride > 1 && channels >= kMinBlurChannels;
  }

  const ExportWeights& weights_;
  const OnnxOptions& options_;
  std::shared_ptr<Graph> graph_;
  std::map<std::string, at::Tensor> initializers_;
};

Value* Builder::conv(Value* x, const std::string& name, int64_t stride) {
  const torch::Tensor& weight = weights_.at(name + ".weight");
  const int64_t kernel = weight.size(2), padding = kernel / 2;
  std::vector<Value*> inputs = {x, initializer(name + ".weight")};
  if (weights_.has(name + ".bias")) inputs.push_back(initializer(name + ".bias"));
  return node("Conv", inputs,
              {{"dilations", {1, 1}},
               {"kernel_shape", {kernel, kernel}},
               {"pads", {padding, padding, padding, padding}},
               {"strides", {stride, stride}}},
              {{"group", 1}});
}

// The batch norm behind a convolution; nothing where it was folded away.
Value* Builder::norm(Value* x, const std::string& name) {
  if (!weights_.has(name + ".running_mean")) return x;
  Value* y = node("BatchNormalization", {x, initializer(name + ".weight"), initializer(name + ".bias"),
                                         initializer(name + ".running_mean"), initializer(name + ".running_var")});
  y->node()->f_(Symbol::attr("epsilon"), kBatchNormEps);
  return y;
}

Value* Builder::blur(Value* x, int64_t channels, int64_t stride) {
  const torch::Tensor row = torch::tensor({0.25, 0.5, 0.25}, torch::kFloat);
  Value* filter = constant(torch::outer(row, row).expand({channels, 1, 3, 3}).contiguous());
  return node("Conv", {x, filter},
              {{"dilations", {1, 1}}, {"kernel_shape", {3, 3}}, {"pads", {1, 1, 1, 1}}, {"strides", {stride, stride}}},
              {{"group", channels}});
}

Value* Builder::shortcut(Value* x, const std::string& prefix, int64_t in, int64_t stride) {
  const bool average = weights_.options.average_downsample;
  const std::string first = prefix + "downsample." + (average ? "1" : "0");
  const std::string second = prefix + "downsample." + (average ? "2" : "1");
  if (!weights_.has(first + ".weight")) return x;
  if (average && stride > 1) {
    x = node("AveragePool", {x}, {{"kernel_shape", {2, 2}}, {"strides", {stride, stride}}},
             {{"ceil_mode", 1}, {"count_include_pad", 0}});
  } else if (!average && blurs(in, stride)) {
    x = blur(x, in, 1);
  }
  return norm(conv(x, first, average ? 1 : stride), second);
}

Value* Builder::block(Value* x, const std::string& prefix, int64_t in, int64_t stride) {
  const bool bottleneck = resnet_architecture(weights_.options.depth).bottleneck;
  const int convolutions = bottleneck ? 3 : 2, strided = bottleneck ? 2 : 1;
  Value* y = x;
  for (int i = 1; i <= convolutions; ++i) {
    const std::string full = prefix + "conv" + std::to_string(i);
    const int64_t step = i == strided ? stride : 1, channels = weights_.at(full + ".weight").size(1);
    if (blurs(channels, step)) y = blur(y, channels, 1);
    y = norm(conv(y, full, step), prefix + "bn" + std::to_string(i));
    if (i < convolutions) y = relu(y);
  }
  return relu(node("Add", {y, shortcut(x, prefix, in, stride)}));
}

// Shapes are calculated in the graph, so that one file takes images of any size. Integer division rounds down.
Value* Builder::preprocess(Value* images, const ImageView& view) {
  Value* x = node("Transpose", {images}, {{"perm", {0, 3, 1, 2}}});
  x = node("Cast", {x}, {}, {{"to", kOnnxFloat}});
  const auto resized = [&](Value* from, Value* to_size) {
    Node* made = graph_->create(Symbol::fromQualString("onnx::Resize"), 1);
    Node* none = graph_->createNone();  // Region of interest and scales: not given.
    graph_->appendNode(none);
    made->addInput(from);
    made->addInput(none->output());
    made->addInput(none->output());
    made->addInput(to_size);
    made->is_(Symbol::attr("axes"), {2, 3});
    made->i_(Symbol::attr("antialias"), 1);
    made->s_(Symbol::attr("coordinate_transformation_mode"), "half_pixel");
    const bool linear = view.filter == imgpack::jpeg::Filter::kBilinear;
    made->s_(Symbol::attr("mode"), linear ? "linear" : "cubic");
    if (!linear) made->f_(Symbol::attr("cubic_coeff_a"), -0.5);  // Pillow's.
    // Outside the image there is nothing: its weights are left out, as Pillow does.
    if (!linear) made->i_(Symbol::attr("exclude_outside"), 1);
    return graph_->appendNode(made)->output();
  };
  const int64_t size = view.size;
  // (height, width), and the shorter of them.
  Value* sides = node("Slice", {node("Shape", {x}), integers({2}), integers({4})});
  Value* shorter = node("ReduceMin", {sides, integers({0})}, {}, {{"keepdims", 1}});
  Value *from = nullptr, *extent = nullptr;
  if (view.crop_ratio > 0) {
    Value* scaled = node("Mul", {node("Cast", {shorter}, {}, {{"to", kOnnxDouble}}),
                                 constant(torch::tensor({view.crop_ratio}, torch::kDouble))});
    Value* side = node("Max", {node("Cast", {scaled}, {}, {{"to", kOnnxInt64}}), integers({1})});
    extent = node("Concat", {side, side}, {}, {{"axis", 0}});
    from = node("Div", {node("Sub", {sides, extent}), integers({2})});
    x = node("Slice", {x, from, node("Add", {from, extent}), integers({2, 3})});
    x = resized(x, integers({size, size}));
  } else {
    Value* new_sides = node("Div", {node("Mul", {sides, integers({static_cast<int64_t>(view.resize)})}), shorter});
    x = resized(x, new_sides);
    // The middle, to the nearest pixel, halves to the even one.
    Value* rest = node("Sub", {new_sides, integers({size, size})});
    Value* half = node("Div", {rest, integers({2})});
    Value* odd_rest = node("Mod", {rest, integers({2})});
    from = node("Add", {half, node("Mul", {odd_rest, node("Mod", {half, integers({2})})})});
    x = node("Slice", {x, from, node("Add", {from, integers({size, size})}), integers({2, 3})});
  }
  // Bytes again, as the training pipeline has them between resizing and normalising.
  x = node("Clip", {node("Round", {x}), constant(torch::tensor(0.0F)), constant(torch::tensor(255.0F))});
  std::vector<float> scale, shift;
  for (size_t c = 0; c < 3; ++c) {
    scale.push_back(static_cast<float>(1 / (255 * kPixelDeviation[c])));
    shift.push_back(static_cast<float>(-kPixelMean[c] / kPixelDeviation[c]));
  }
  x = node("Mul", {x, constant(torch::tensor(scale).view({1, 3, 1, 1}))});
  return node("Add", {x, constant(torch::tensor(shift).view({1, 3, 1, 1}))});
}

Value* Builder::network(Value* x) {
  const ResNetOptions& options = weights_.options;
  if (options.stem == Stem::kDeep) {
    x = relu(norm(conv(x, "conv1.0", 2), "conv1.1"));
    x = relu(norm(conv(x, "conv1.3", 1), "conv1.4"));
    x = relu(norm(conv(x, "conv1.6", 1), "bn1"));
  } else {
    x = relu(norm(conv(x, "conv1", 2), "bn1"));
  }
  x = options.blurpool == BlurPool::kAll ? blur(max_pool(x, 1), 64, 2) : max_pool(x, 2);
  const ResNetArchitecture architecture = resnet_architecture(options.depth);
  int64_t in = 64;
  for (int stage = 0; stage < 4; ++stage) {
    for (int i = 0; i < architecture.blocks[static_cast<size_t>(stage)]; ++i) {
      x = block(x, "layer" + std::to_string(stage + 1) + "." + std::to_string(i) + ".", in,
                i == 0 && stage > 0 ? 2 : 1);
      in = (int64_t{64} << stage) * architecture.expansion();
    }
  }
  x = node("Flatten", {node("GlobalAveragePool", {x})}, {}, {{"axis", 1}});
  return node("Gemm", {x, initializer("fc.weight"), initializer("fc.bias")}, {}, {{"transB", 1}});
}

// Protocol-buffer messages may be appended to: a repeated field goes on growing. ModelProto.metadata_props is field 14,
// of messages {key = 1, value = 2}. libtorch's writer has no way to set it.
void append_metadata(std::string& model, const std::string& key, const std::string& value) {
  const auto append = [](std::string& to, int field, const std::string& bytes) {
    to.push_back(static_cast<char>(field << 3 | 2));  // Wire type 2: a length and so many bytes.
    for (uint64_t length = bytes.size();; length >>= 7) {
      to.push_back(static_cast<char>((length & 0x7f) | (length > 0x7f ? 0x80 : 0)));
      if (length <= 0x7f) break;
    }
    to += bytes;
  };
  std::string entry;
  append(entry, 1, key);
  append(entry, 2, value);
  append(model, 14, entry);
}

std::string Builder::write() {
  std::unordered_map<std::string, std::unordered_map<int64_t, std::string>> dynamic = {{"logits", {{0, "batch"}}}};
  Value* input = nullptr;
  Value* x = nullptr;
  if (options_.preprocessing) {
    input = graph_->addInput("images");
    input->setType(c10::TensorType::create(torch::empty({1, 1, 1, 3}, torch::kByte)));
    dynamic["images"] = {{0, "batch"}, {1, "height"}, {2, "width"}};
    x = preprocess(input, *options_.preprocessing);
  } else {
    input = graph_->addInput("input");
    input->setType(c10::TensorType::create(torch::empty({1, 3, options_.size, options_.size})));
    dynamic["input"] = {{0, "batch"}};
    x = input;
  }
  Value* logits = network(x);
  logits->setDebugName("logits");
  logits->setType(c10::TensorType::create(torch::empty({1, weights_.options.num_classes})));
  graph_->registerOutput(logits);
  const auto result =
      torch::jit::export_onnx(graph_, initializers_, kOperatorSet, dynamic, /*defer_weight_export=*/false,
                              torch::onnx::OperatorExportTypes::ONNX, /*strip_doc_string=*/true,
                              /*keep_initializers_as_inputs=*/false);
  std::string model = torch::jit::serialize_model_proto_to_string(std::get<0>(result));
  for (const auto& [key, value] : options_.metadata) append_metadata(model, key, value);
  return model;
}

}  // namespace

std::string to_onnx(const ExportWeights& weights, const OnnxOptions& options) {
  const torch::NoGradGuard no_grad;
  return Builder(weights, options).write();
}

}  // namespace imgtrain
