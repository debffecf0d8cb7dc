// Optimizer: one update of all parameters, through libtorch's fused kernels, with the state under parameter names so
// that checkpoints mean something to other programs.
#pragma once

#include <torch/torch.h>

#include <string>
#include <utility>
#include <vector>

#include "engine/model/weights.h"
#include "engine/train/run/run_config.h"
#include "engine/train/run/schedule.h"

namespace imgtrain {

// Whether weight decay acts on a parameter, by its torchvision name and number of dimensions. Every parameter of one
// dimension that is not a bias of a linear layer belongs to a norm.
bool decays(NoDecay rule, const std::string& name, int64_t dimensions);

// Stochastic gradient descent with (Nesterov) momentum as torch.optim.SGD defines it:
//   g += weight_decay * p;  b = momentum * b + g;  p -= lr * (nesterov ? g + momentum * b : b)
// One thread. REQUIRES: parameters are on their device, in their memory format, and have gradients in that format when
// step() is called.
class Optimizer {
 public:
  Optimizer(const torch::nn::Module& model, const RunConfig& config);

  // `found_inf`: 1-element tensor on the device; where it is 1 nothing changes. Undefined: always step.
  void step(const StepRates& rates, const torch::Tensor& found_inf = {});

  const std::vector<torch::Tensor>& parameters() const { return parameters_; }
  std::vector<torch::Tensor> gradients() const;

  // `momentum.NAME` of every parameter, in the model's order: the optimizer's own tensors.
  NamedTensors state() const;
  // Throws Error(kInvalidInput) that names what is missing, surplus or of another shape.
  void load(const NamedTensors& state, const std::filesystem::path& path);

 private:
  struct Group {
    double weight_decay = 0;
    std::vector<torch::Tensor> parameters, momentum;
  };
  RunConfig config_;
  std::vector<std::string> names_;
  std::vector<torch::Tensor> parameters_, momentum_;  // In the model's order.
  std::vector<Group> groups_;
};

}  // namespace imgtrain
