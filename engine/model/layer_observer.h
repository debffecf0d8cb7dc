// LayerObserver: told of every layer that a network runs forward, and what came out of it.
//
//   ResNet::forward --LayerScope per layer--> the thread's observer, if there is one (engine/train/layer_times)
//
// libtorch's modules have no hooks in C++. Without an observer a scope costs one look at a thread-local pointer.
#pragma once

#include <torch/torch.h>

#include <string_view>

namespace imgtrain {

// What a layer is, in terms of the kernels that run for it.
enum class LayerKind {
  kInput,  // From bytes to the first convolution's input.
  kConvolution,
  kNorm,          // Batch norm alone,
  kNormRelu,      // with ReLU,
  kNormAddRelu,   // with the shortcut's addition and ReLU,
  kNormsAddRelu,  // with a batch norm of the shortcut too.
  kPool,
  kBlur,
  kClassifier,
  kLoss
};

class LayerObserver {
 public:
  virtual ~LayerObserver() = default;
  // `module`: the layer, nullptr for one without parameters. `name`: what such a one is called, a literal.
  virtual void begin_layer(LayerKind kind, const torch::nn::Module* module, std::string_view name) = 0;
  // `inputs`: what the layer read besides its parameters; undefined ones do not count.
  virtual void end_layer(at::TensorList inputs, const torch::Tensor& output) = 0;
};

// From now on on this thread; nullptr: nobody. Returns the one before.
LayerObserver* observe_layers(LayerObserver* observer);

namespace detail {
extern thread_local LayerObserver* layer_observer;
}

// Runs `layer`, a function that returns a tensor, and lets the observer know.
template <class Function>
torch::Tensor observed(LayerKind kind, const torch::nn::Module* module, std::string_view name, at::TensorList inputs,
                       const Function& layer) {
  LayerObserver* const observer = detail::layer_observer;
  if (observer == nullptr) return layer();
  observer->begin_layer(kind, module, name);
  torch::Tensor output = layer();
  observer->end_layer(inputs, output);
  return output;
}

}  // namespace imgtrain
