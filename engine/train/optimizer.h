// Optimizer: one update of all parameters, through libtorch's fused kernels, with the state under parameter names so
// that checkpoints mean something to other programs.
#pragma once

#include <torch/torch.h>

#include <optional>
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

// The update that the configuration names:
//   sgd    torch.optim.SGD: g += weight_decay * p;  b = momentum * b + g;  p -= lr * (nesterov ? g + momentum * b : b)
//   adamw  torch.optim.AdamW
//   lamb   timm's Lamb: gradients scaled down to lamb_grad_norm together; Adam's update u += weight_decay * p;
//          p -= lr * |p| / |u| * u, without the ratio for parameters that do not decay
// With `decoupled_decay` sgd and adamw first do p *= 1 - weight_decay * lr / peak lr, and add no decay of their own
// (Composer's DecoupledSGDW and DecoupledAdamW).
// One thread. REQUIRES: parameters are on their device, in their memory format, and have gradients in that format when
// step() is called.
class Optimizer {
 public:
  Optimizer(const torch::nn::Module& model, const RunConfig& config);

  // `found_inf`: 1-element float tensor on the device; where it is 1 nothing changes but the gradients of lamb, which
  // scales them and then clears them. Undefined: always step. `lr`: 1-element float tensor on the device that stands
  // for rates.lr, so that the host need not know it; undefined: rates.lr does. The host never waits for the device.
  void step(const StepRates& rates, const torch::Tensor& found_inf = {}, const torch::Tensor& lr = {});

  const std::vector<torch::Tensor>& parameters() const { return parameters_; }
  std::vector<torch::Tensor> gradients() const;

  // The optimizer's own tensors: `momentum.NAME` of every parameter, in the model's order; of adamw and lamb
  // `first_moment.NAME`, `second_moment.NAME` and `step`, the number of updates so far.
  NamedTensors state() const;
  // Throws Error(kInvalidInput) that names what is missing, surplus or of another shape.
  void load(const NamedTensors& state, const std::filesystem::path& path);

 private:
  struct Group {
    double weight_decay = 0;
    std::vector<torch::Tensor> parameters;
    std::vector<torch::Tensor> first, second;  // Momentum alone, or the two moments.
  };
  std::vector<torch::Tensor> gradients_of(const Group& group) const;
  void step_sgd(const Group& group, const StepRates& rates, const std::optional<torch::Tensor>& found_inf,
                const torch::Tensor& lr);
  void step_adamw(const Group& group, const StepRates& rates, const std::optional<torch::Tensor>& found_inf,
                  const torch::Tensor& lr);
  void step_lamb(const Group& group, const StepRates& rates, const std::optional<torch::Tensor>& keep,
                 const torch::Tensor& lr);
  // Multiplies the weights of a group as decoupled decay does, and returns the decay that is left to the update.
  double decay_apart(const Group& group, const StepRates& rates, const std::optional<torch::Tensor>& found_inf,
                     const torch::Tensor& lr);

  RunConfig config_;
  std::vector<std::string> names_;
  std::vector<torch::Tensor> parameters_;  // In the model's order.
  NamedTensors state_;
  torch::Tensor step_;  // Float, 1 element; undefined for sgd.
  std::vector<Group> groups_;
};

// Scales gradients in place so that their norm, all together, is at most `max_norm` (torch's clip_grad_norm_). Returns
// the norm before, on the device.
torch::Tensor clip_gradients(const std::vector<torch::Tensor>& gradients, double max_norm);

}  // namespace imgtrain
