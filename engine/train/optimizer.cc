#include "engine/train/optimizer.h"

#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_addcmul.h>
#include <ATen/ops/_foreach_div.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_foreach_sqrt.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>

#include <map>

#include "format/error.h"

namespace imgtrain {
namespace {

using imgpack::Error;
using imgpack::ErrorKind;
using torch::Tensor;

constexpr const char* kMomentum = "momentum.";
constexpr const char* kFirstMoment = "first_moment.";
constexpr const char* kSecondMoment = "second_moment.";
constexpr const char* kStep = "step";

// The norm of all tensors together, on their device.
Tensor norm_of_all(const std::vector<Tensor>& tensors) {
  return torch::stack(at::_foreach_norm(tensors)).norm();
}

}  // namespace

bool decays(NoDecay rule, const std::string& name, int64_t dimensions) {
  const bool classifier = name.rfind("fc.", 0) == 0;
  const bool norm = dimensions == 1 && !classifier;
  const bool classifier_bias = dimensions == 1 && classifier;
  switch (rule) {
    case NoDecay::kNone:
      return true;
    case NoDecay::kNorms:
      return !norm;
    case NoDecay::kBiases:
      return !name.ends_with("bias");
    case NoDecay::kNormsAndBiases:
      return !norm && !classifier_bias;
    case NoDecay::kNamedBn:
      return name.find("bn") == std::string::npos;
  }
  return true;
}

Optimizer::Optimizer(const torch::nn::Module& model, const RunConfig& config) : config_(config) {
  Group with_decay{config.weight_decay, {}, {}, {}}, without_decay;
  const bool moments = config.optimizer != OptimizerKind::kSgd;
  for (const auto& item : model.named_parameters()) {
    const Tensor& parameter = item.value();
    names_.push_back(item.key());
    parameters_.push_back(parameter);
    Group& group = decays(config.no_decay, item.key(), parameter.dim()) ? with_decay : without_decay;
    group.parameters.push_back(parameter);
    const auto add_state = [&](const char* prefix, std::vector<Tensor>& list) {
      list.push_back(torch::zeros_like(parameter, torch::requires_grad(false)));
      state_.emplace_back(prefix + item.key(), list.back());
    };
    add_state(moments ? kFirstMoment : kMomentum, group.first);
    if (moments) add_state(kSecondMoment, group.second);
  }
  if (moments) {
    step_ = torch::zeros({1}, torch::dtype(torch::kFloat).device(parameters_.front().device()));
    state_.emplace_back(kStep, step_);
  }
  for (Group* group : {&with_decay, &without_decay})
    if (!group->parameters.empty()) groups_.push_back(std::move(*group));
}

std::vector<Tensor> Optimizer::gradients() const {
  std::vector<Tensor> gradients;
  gradients.reserve(parameters_.size());
  for (const Tensor& parameter : parameters_) gradients.push_back(parameter.grad());
  return gradients;
}

std::vector<Tensor> Optimizer::gradients_of(const Group& group) const {
  std::vector<Tensor> gradients;
  gradients.reserve(group.parameters.size());
  for (const Tensor& parameter : group.parameters) {
    // The fused kernels walk the memory of all tensors side by side and never look at strides.
    if (!parameter.grad().defined() || parameter.grad().strides() != parameter.strides())
      throw Error(ErrorKind::kInternal, "a gradient is missing or laid out differently from its parameter");
    gradients.push_back(parameter.grad());
  }
  return gradients;
}

void Optimizer::step(const StepRates& rates, const Tensor& found_inf, const Tensor& lr) {
  torch::NoGradGuard no_grad;
  const std::optional<Tensor> skip = found_inf.defined() ? std::optional<Tensor>(found_inf) : std::nullopt;
  switch (config_.optimizer) {
    case OptimizerKind::kSgd:
      for (const Group& group : groups_) step_sgd(group, rates, skip, lr);
      return;
    case OptimizerKind::kAdamW:
      step_.add_(1);
      for (const Group& group : groups_) step_adamw(group, rates, skip, lr);
      if (skip) step_.sub_(*skip);
      return;
    case OptimizerKind::kLamb: {
      const std::vector<Tensor> all = gradients();
      std::optional<Tensor> keep;
      if (skip) {
        // An infinity or NaN times zero would be NaN.
        keep = 1 - skip->squeeze();
        for (Tensor gradient : all) torch::nan_to_num_(gradient, 0.0, 0.0, 0.0);
        at::_foreach_mul_(all, *keep);
      }
      keep ? step_.add_(*keep) : step_.add_(1);
      if (config_.lamb_grad_norm > 0)
        at::_foreach_div_(all, (norm_of_all(all) / config_.lamb_grad_norm).clamp_min(1.0));
      for (const Group& group : groups_) step_lamb(group, rates, keep, lr);
      return;
    }
  }
}

double Optimizer::decay_apart(const Group& group, const StepRates& rates, const std::optional<Tensor>& found_inf,
                              const Tensor& lr) {
  if (!config_.decoupled_decay) return group.weight_decay;
  const double decay_per_lr = group.weight_decay / config_.peak_lr(), decay = decay_per_lr * rates.lr;
  if (lr.defined()) {
    const Tensor share = lr.squeeze() * decay_per_lr;
    at::_foreach_mul_(group.parameters, 1 - (found_inf ? share * (1 - found_inf->squeeze()) : share));
  } else if (decay == 0) {
    return 0;
  } else if (found_inf) {
    at::_foreach_mul_(group.parameters, 1 - decay * (1 - found_inf->squeeze()));
  } else {
    at::_foreach_mul_(group.parameters, 1 - decay);
  }
  return 0;
}

void Optimizer::step_sgd(const Group& group, const StepRates& rates, const std::optional<Tensor>& found_inf,
                         const Tensor& lr) {
  const double weight_decay = decay_apart(group, rates, found_inf, lr);
  // Momentum starts at zero, which makes the first step the same as every other. Without momentum the kernel takes no
  // buffers.
  const std::vector<Tensor> none;
  const auto update = [&](const auto& rate) {
    at::_fused_sgd_(group.parameters, gradients_of(group), rates.momentum == 0 ? none : group.first, weight_decay,
                    rates.momentum, rate, /*dampening=*/0.0, config_.nesterov, /*maximize=*/false,
                    /*is_first_step=*/false, /*grad_scale=*/{}, found_inf);
  };
  lr.defined() ? update(lr) : update(rates.lr);
}

void Optimizer::step_adamw(const Group& group, const StepRates& rates, const std::optional<Tensor>& found_inf,
                           const Tensor& lr) {
  const double weight_decay = decay_apart(group, rates, found_inf, lr);
  const std::vector<Tensor> steps(group.parameters.size(), step_.squeeze());
  const auto update = [&](const auto& rate) {
    at::_fused_adamw_(group.parameters, gradients_of(group), group.first, group.second, /*max_exp_avg_sqs=*/{}, steps,
                      rate, config_.beta1, config_.beta2, weight_decay, config_.eps, /*amsgrad=*/false,
                      /*maximize=*/false, /*grad_scale=*/{}, found_inf);
  };
  lr.defined() ? update(lr) : update(rates.lr);
}

// `keep`: 0 where the step is to be skipped, whose gradients are zeros then, and 1 elsewhere.
void Optimizer::step_lamb(const Group& group, const StepRates& rates, const std::optional<Tensor>& keep,
                          const Tensor& lr) {
  const std::vector<Tensor> gradients = gradients_of(group);
  const auto decay_moment = [&](const std::vector<Tensor>& moment, double beta) {
    keep ? at::_foreach_mul_(moment, torch::where(*keep > 0, beta, 1.0)) : at::_foreach_mul_(moment, beta);
  };
  decay_moment(group.first, config_.beta1);
  at::_foreach_add_(group.first, gradients, 1 - config_.beta1);
  decay_moment(group.second, config_.beta2);
  at::_foreach_addcmul_(group.second, gradients, gradients, 1 - config_.beta2);

  // Both moments begin at zero: 1 - beta^step makes up for it. In double, on the device. No step at all has been done
  // where the first one is skipped.
  const Tensor step = step_.squeeze().to(torch::kDouble).clamp_min(1);
  std::vector<Tensor> denominator = at::_foreach_sqrt(group.second);
  at::_foreach_div_(denominator, (1 - torch::pow(config_.beta2, step)).sqrt());
  at::_foreach_add_(denominator, config_.eps);
  std::vector<Tensor> update = at::_foreach_div(group.first, 1 - torch::pow(config_.beta1, step));
  at::_foreach_div_(update, denominator);

  if (group.weight_decay != 0) {
    at::_foreach_add_(update, group.parameters, group.weight_decay);
    const Tensor weights = torch::stack(at::_foreach_norm(group.parameters)),
                 updates = torch::stack(at::_foreach_norm(update));
    const Tensor ratios =
        torch::where((weights > 0).logical_and(updates > 0), weights / updates, torch::ones_like(weights));
    at::_foreach_mul_(update, ratios.unbind());
  }
  if (keep) at::_foreach_mul_(update, *keep);
  if (lr.defined()) {
    at::_foreach_mul_(update, lr.squeeze());
    at::_foreach_add_(group.parameters, update, -1);
  } else {
    at::_foreach_add_(group.parameters, update, -rates.lr);
  }
}

NamedTensors Optimizer::state() const {
  return state_;
}

void Optimizer::load(const NamedTensors& state, const std::filesystem::path& path) {
  std::map<std::string, Tensor> given;
  for (const auto& [name, tensor] : state) given[name] = tensor;
  for (const auto& [name, tensor] : state_) {
    const auto found = given.find(name);
    if (found == given.end() || found->second.sizes() != tensor.sizes()) {
      throw Error(ErrorKind::kInvalidInput,
                  "optimizer state of another model: '" + name + "' is missing or of another shape", path);
    }
  }
  if (given.size() != state_.size())
    throw Error(ErrorKind::kInvalidInput, "optimizer state of another model: it has tensors that this one lacks", path);
  torch::NoGradGuard no_grad;
  for (auto& [name, tensor] : state_) tensor.copy_(given.at(name));
}

Tensor clip_gradients(const std::vector<Tensor>& gradients, double max_norm) {
  torch::NoGradGuard no_grad;
  const Tensor norm = norm_of_all(gradients);
  at::_foreach_mul_(gradients, (max_norm / (norm + 1e-6)).clamp_max(1.0));
  return norm;
}

}  // namespace imgtrain
