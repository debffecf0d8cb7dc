// LayerTimes: the time of every layer, forward and backward, over some steps.
//
//   begin_step -> forward { begin_layer, end_layer }* -> backward { node begins, node ends }* -> end_step
//                            |                              |
//                 a mark in the stream,          hooks on the nodes that the layer left
//                 an NVTX range                  in autograd's graph
//
// A mark is an event in the stream on CUDA, the time of day on a CPU. Bytes and FLOPs follow from the shapes; how they
// are counted is said in run/step_profile.h.
#pragma once

#include <torch/torch.h>

#include <memory>
#include <vector>

#include "engine/model/layer_observer.h"
#include "engine/train/run/step_profile.h"

namespace imgtrain {

// One thread, and autograd's on its behalf.
class LayerTimes : public LayerObserver {
 public:
  // `model` gives layers their names.
  LayerTimes(const torch::nn::Module& model, torch::Device device);
  ~LayerTimes() override;

  void begin_step();  // Layers of this thread are observed from now on.
  void end_step();    // Until now; waits for the device.

  // In the order in which they ran first; seconds are medians over the steps, everything else of one step.
  std::vector<ProfiledLayer> layers() const;
  bool fused() const;  // Whether any batch norm and its ReLU were one operation.

  void begin_layer(LayerKind kind, const torch::nn::Module* module, std::string_view name) override;
  void end_layer(at::TensorList inputs, const torch::Tensor& output) override;

 private:
  struct State;
  std::shared_ptr<State> state_;  // Shared with the hooks: a graph may outlive this.
};

}  // namespace imgtrain
