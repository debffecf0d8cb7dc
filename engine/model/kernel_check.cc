#include "engine/model/kernel_check.h"

#include <ATen/CPUGeneratorImpl.h>

#include <exception>
#include <utility>
#include <vector>

namespace imgtrain {
namespace {

using torch::Tensor;

// Sizes that are whole vectors, and that are not.
constexpr int64_t kImages = 3, kSide = 9, kWholeChannels = 64, kOddChannels = 20;
constexpr uint64_t kSeed = 7;

// Of relative 2-norms. Whoever adds 243 numbers in another order stays far below.
double tolerance_of(at::ScalarType type) {
  return type == at::kFloat ? 1e-4 : 2e-2;
}

double relative_error(const Tensor& found, const Tensor& expected) {
  const Tensor e = expected.to(at::kDouble);
  return ((found.to(at::kDouble) - e).norm() / e.norm().clamp_min(1e-12)).item<double>();
}

struct Inputs {
  Tensor x, shortcut, dy;
  FusedNorm::Parameters parameters;

  Inputs(int64_t channels, at::ScalarType type, torch::Device device, at::Generator generator) {
    const auto map = [&](double mean) {
      return torch::randn({kImages, channels, kSide, kSide}, generator)
          .add(mean)
          .to(device, type)
          .contiguous(at::MemoryFormat::ChannelsLast);
    };
    x = map(2);
    shortcut = map(0);
    dy = map(0);
    parameters.weight = torch::rand({channels}, generator).add(0.5).to(device);
    parameters.bias = torch::rand({channels}, generator).sub(0.5).to(device);
  }

  // Everything that comes out, forward and backward.
  std::vector<Tensor> run(const FusedNorm& norm, bool adds) const {
    FusedNorm::Parameters own = parameters;
    own.running_mean = torch::zeros_like(parameters.weight);
    own.running_var = torch::ones_like(parameters.weight);
    const FusedNorm::Result forward = norm.forward(x, adds ? shortcut : Tensor(), own);
    const FusedNorm::Gradients gradients = norm.backward(dy, x, adds, own, forward);
    std::vector<Tensor> all = {forward.y,       gradients.dx,     gradients.dweight,
                               gradients.dbias, own.running_mean, own.running_var};
    if (adds) all.push_back(gradients.dshortcut);
    return all;
  }
};

}  // namespace

std::string disagreement(const FusedNorm& norm, torch::Device device) {
  static constexpr const char* kWhat[] = {
      "the result",       "the input's gradient", "the weight's gradient",  "the bias's gradient",
      "the running mean", "the running variance", "the shortcut's gradient"};
  const torch::NoGradGuard no_grad;
  try {
    const at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(kSeed);
    for (const at::ScalarType type : {at::kFloat, at::kHalf, at::kBFloat16}) {
      for (const int64_t channels : {kWholeChannels, kOddChannels}) {
        const Inputs inputs(channels, type, device, generator);
        for (const bool adds : {false, true}) {
          const std::vector<Tensor> found = inputs.run(norm, adds);
          const std::vector<Tensor> expected = inputs.run(*reference_fused_norm(), adds);
          for (size_t i = 0; i < found.size(); ++i) {
            const double error = relative_error(found[i], expected[i]);
            if (error <= tolerance_of(type)) continue;  // False for NaN.
            return std::string(kWhat[i]) + " of batch norm in " + c10::toString(type) +
                   ": expected libtorch's, found " + std::to_string(error) + " of it elsewhere";
          }
        }
      }
    }
  } catch (const std::exception& error) {
    return error.what();
  }
  return {};
}

}  // namespace imgtrain
