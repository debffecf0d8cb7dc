#include "engine/train/optimizer.h"

#include <ATen/ops/_fused_sgd.h>

#include <map>

#include "format/error.h"

namespace imgtrain {
namespace {

using imgpack::Error;
using imgpack::ErrorKind;
using torch::Tensor;

constexpr const char* kMomentum = "momentum.";

}  // namespace

bool decays(NoDecay rule, const std::string& name, int64_t dimensions) {
  const bool classifier = name.rfind("fc.", 0) == 0;
  const bool norm = dimensions == 1 && !classifier;
  const bool bias = dimensions == 1 && classifier;
  switch (rule) {
    case NoDecay::kNone:
      return true;
    case NoDecay::kNorms:
      return !norm;
    case NoDecay::kNormsAndBiases:
      return !norm && !bias;
    case NoDecay::kNamedBn:
      return name.find("bn") == std::string::npos;
  }
  return true;
}

Optimizer::Optimizer(const torch::nn::Module& model, const RunConfig& config) : config_(config) {
  Group with_decay{config.weight_decay, {}, {}}, without_decay;
  for (const auto& item : model.named_parameters()) {
    const Tensor& parameter = item.value();
    const Tensor momentum = torch::zeros_like(parameter, torch::requires_grad(false));
    names_.push_back(item.key());
    parameters_.push_back(parameter);
    momentum_.push_back(momentum);
    Group& group = decays(config.no_decay, item.key(), parameter.dim()) ? with_decay : without_decay;
    group.parameters.push_back(parameter);
    group.momentum.push_back(momentum);
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

void Optimizer::step(const StepRates& rates, const Tensor& found_inf) {
  torch::NoGradGuard no_grad;
  const std::optional<Tensor> skip = found_inf.defined() ? std::optional<Tensor>(found_inf) : std::nullopt;
  for (const Group& group : groups_) {
    std::vector<Tensor> gradients;
    gradients.reserve(group.parameters.size());
    for (const Tensor& parameter : group.parameters) {
      // The fused kernel walks the memory of all three side by side and never looks at strides.
      if (!parameter.grad().defined() || parameter.grad().strides() != parameter.strides())
        throw Error(ErrorKind::kInternal, "a gradient is missing or laid out differently from its parameter");
      gradients.push_back(parameter.grad());
    }
    // Momentum starts at zero, which makes the first step the same as every other.
    at::_fused_sgd_(group.parameters, gradients, group.momentum, group.weight_decay, rates.momentum, rates.lr,
                    /*dampening=*/0.0, config_.nesterov, /*maximize=*/false, /*is_first_step=*/false,
                    /*grad_scale=*/{}, skip);
  }
}

NamedTensors Optimizer::state() const {
  NamedTensors state;
  for (size_t i = 0; i < names_.size(); ++i) state.emplace_back(kMomentum + names_[i], momentum_[i]);
  return state;
}

void Optimizer::load(const NamedTensors& state, const std::filesystem::path& path) {
  std::map<std::string, Tensor> given;
  for (const auto& [name, tensor] : state) given[name] = tensor;
  for (size_t i = 0; i < names_.size(); ++i) {
    const auto found = given.find(kMomentum + names_[i]);
    if (found == given.end() || found->second.sizes() != momentum_[i].sizes()) {
      throw Error(ErrorKind::kInvalidInput,
                  "optimizer state of another model: '" + names_[i] + "' is missing or of another shape", path);
    }
  }
  if (given.size() != names_.size())
    throw Error(ErrorKind::kInvalidInput, "optimizer state of another model: it has tensors that this one lacks", path);
  torch::NoGradGuard no_grad;
  for (size_t i = 0; i < names_.size(); ++i) momentum_[i].copy_(given.at(kMomentum + names_[i]));
}

}  // namespace imgtrain
