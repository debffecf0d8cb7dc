#include "engine/model/kernel_check.h"

#include <ATen/CPUGeneratorImpl.h>

#include <exception>
#include <limits>
#include <utility>
#include <vector>

namespace imgtrain {
namespace {

using torch::Tensor;

// Sizes that are whole vectors, and that are not.
constexpr int64_t kImages = 3, kSide = 9, kWholeChannels = 64, kOddChannels = 20;
constexpr uint64_t kSeed = 7;
// Of x: 1, and one that sums of squares feel.
constexpr double kScale = 1, kLargeScale = 64;

// Of relative 2-norms. Whoever adds 243 numbers in another order stays far below.
double tolerance_of(at::ScalarType type) {
  return type == at::kFloat ? 1e-4 : 2e-2;
}

double relative_error(const Tensor& found, const Tensor& expected) {
  const Tensor e = expected.to(at::kDouble);
  return ((found.to(at::kDouble) - e).norm() / e.norm().clamp_min(1e-12)).item<double>();
}

struct Inputs {
  Tensor x, shortcut, dy, dy_too;
  FusedNorm::Parameters parameters;

  Inputs(int64_t channels, double scale, at::ScalarType type, torch::Device device, at::Generator generator) {
    const auto map = [&](double mean, double times) {
      return torch::randn({kImages, channels, kSide, kSide}, generator)
          .add(mean)
          .mul(times)
          .to(device, type)
          .contiguous(at::MemoryFormat::ChannelsLast);
    };
    x = map(2, scale);
    shortcut = map(0, 1);
    dy = map(0, 1);
    dy_too = map(0, 1);
    parameters.weight = torch::rand({channels}, generator).add(0.5).to(device);
    parameters.bias = torch::rand({channels}, generator).sub(0.5).to(device);
  }

  FusedNorm::Parameters fresh() const {
    FusedNorm::Parameters own = parameters;
    own.running_mean = torch::zeros_like(parameters.weight);
    own.running_var = torch::ones_like(parameters.weight);
    return own;
  }

  // Everything that comes out, forward and backward.
  std::vector<Tensor> run(const FusedNorm& norm, bool adds, bool forks) const {
    FusedNorm::Parameters own = fresh();
    own.forks = forks;
    const FusedNorm::Result forward = norm.forward(x, adds ? shortcut : Tensor(), own);
    const FusedNorm::Gradients gradients = norm.backward(dy, forks ? dy_too : Tensor(), x, adds, own, forward);
    std::vector<Tensor> all = {forward.y,       gradients.dx,     gradients.dweight,
                               gradients.dbias, own.running_mean, own.running_var};
    if (adds) all.push_back(gradients.dshortcut);
    return all;
  }
};

// What differs beyond rounding; empty: nothing.
std::string difference(const FusedNorm& norm, const Inputs& inputs) {
  static constexpr const char* kWhat[] = {
      "the result",       "the input's gradient", "the weight's gradient",  "the bias's gradient",
      "the running mean", "the running variance", "the shortcut's gradient"};
  const at::ScalarType type = inputs.x.scalar_type();
  for (const auto& [adds, forks] : {std::pair(false, false), {true, false}, {true, true}}) {
    const std::vector<Tensor> found = inputs.run(norm, adds, forks);
    const std::vector<Tensor> expected = inputs.run(*reference_fused_norm(), adds, forks);
    for (size_t i = 0; i < found.size(); ++i) {
      const double error = relative_error(found[i], expected[i]);
      if (error <= tolerance_of(type)) continue;  // False for NaN.
      return std::string(kWhat[i]) + " of batch norm in " + c10::toString(type) + ": expected libtorch's, found " +
             std::to_string(error) + " of it elsewhere";
    }
  }
  return {};
}

// The same of two batch norms in one, each with parameters of its own.
std::string pair_difference(const FusedNorm& norm, const Inputs& inputs) {
  static constexpr const char* kWhat[] = {"the result",
                                          "the input's gradient",
                                          "the weight's gradient",
                                          "the bias's gradient",
                                          "the shortcut's gradient",
                                          "the shortcut weight's gradient",
                                          "the shortcut bias's gradient",
                                          "the running mean",
                                          "the running variance",
                                          "the shortcut's running mean",
                                          "the shortcut's running variance"};
  const at::ScalarType type = inputs.x.scalar_type();
  const auto run = [&](const FusedNorm& by, bool forks) -> std::vector<Tensor> {
    FusedNorm::Parameters p = inputs.fresh(), shortcut_p = inputs.fresh();
    p.forks = forks;
    shortcut_p.weight = p.weight.flip(0);
    shortcut_p.bias = p.bias.flip(0);
    const auto forward = by.forward_pair(inputs.x, p, inputs.shortcut, shortcut_p);
    const auto gradients = by.backward_pair(inputs.dy, forks ? inputs.dy_too : Tensor(), inputs.x, p, inputs.shortcut,
                                            shortcut_p, forward);
    return {forward.first.y,
            gradients.first.dx,
            gradients.first.dweight,
            gradients.first.dbias,
            gradients.first.dshortcut,
            gradients.dweight,
            gradients.dbias,
            p.running_mean,
            p.running_var,
            shortcut_p.running_mean,
            shortcut_p.running_var};
  };
  for (const bool forks : {false, true}) {
    const std::vector<Tensor> found = run(norm, forks), expected = run(*reference_fused_norm(), forks);
    for (size_t i = 0; i < found.size(); ++i) {
      const double error = relative_error(found[i], expected[i]);
      if (error <= tolerance_of(type)) continue;  // False for NaN.
      return std::string(kWhat[i]) + " of two batch norms in " + c10::toString(type) + ": expected libtorch's, found " +
             std::to_string(error) + " of it elsewhere";
    }
  }
  return {};
}

// A loss that is no number has to be seen as one: ReLU must not make zeros of it.
std::string hidden_nan(const FusedNorm& norm, const Inputs& inputs) {
  const Tensor x = inputs.x.clone();
  x.select(1, 0).select(0, 0).fill_(std::numeric_limits<double>::quiet_NaN());
  for (const bool adds : {false, true}) {
    const Tensor y = norm.forward(x, adds ? inputs.shortcut : Tensor(), inputs.fresh()).y;
    if (!y.select(1, 0).isnan().all().item<bool>() || y.narrow(1, 1, y.size(1) - 1).isnan().any().item<bool>())
      return std::string("NaN in one channel of batch norm in ") + c10::toString(x.scalar_type()) +
             ": expected it in all of that channel's result and nowhere else, as libtorch has it, found another result";
  }
  return {};
}

}  // namespace

std::string disagreement(const FusedNorm& norm, torch::Device device) {
  const torch::NoGradGuard no_grad;
  try {
    const at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(kSeed);
    bool tried = false;
    for (const at::ScalarType type : {at::kFloat, at::kHalf, at::kBFloat16}) {
      for (const int64_t channels : {kWholeChannels, kOddChannels}) {
        for (const double scale : {kScale, kLargeScale}) {
          const Inputs inputs(channels, scale, type, device, generator);
          if (!norm.takes(inputs.x, inputs.parameters.weight)) continue;
          tried = true;
          if (std::string what = difference(norm, inputs); !what.empty()) return what;
          if (std::string what = norm.takes_pairs() ? pair_difference(norm, inputs) : std::string(); !what.empty())
            return what;
          if (scale != kScale) continue;
          if (std::string what = hidden_nan(norm, inputs); !what.empty()) return what;
        }
      }
    }
    if (!tried) return "it takes no number type on this device";
  } catch (const std::exception& error) {
    return error.what();
  }
  return {};
}

}  // namespace imgtrain
