// One batch norm with ReLU, and perhaps a shortcut, as tests run it: everything that goes in and comes out.
//
//   NormInputs --> NormLayer::run --> y, gradients, running statistics, in the order of kNormOutputs
//
// Drawn from seeds: every NormLayer of so many channels is the same, every NormInputs of a shape too.
#pragma once

#include <torch/torch.h>

#include <vector>

#include "engine/model/batch_norm.h"

namespace imgtrain {

struct NormLayer {
  explicit NormLayer(int64_t channels, at::ScalarType type) {
    torch::manual_seed(3);
    norm = BatchNorm2d(channels);
    torch::NoGradGuard no_grad;
    norm->weight.uniform_(0.4, 1.6);
    norm->bias.uniform_(-0.5, 0.5);
    norm->running_mean.uniform_(-1, 1);
    norm->running_var.uniform_(0.5, 2);
    if (type == torch::kDouble) norm->to(type);
  }
  // relu(norm(x) [+ shortcut]) and its gradients for `dy`.
  std::vector<torch::Tensor> run(const torch::Tensor& x_values, const torch::Tensor& shortcut_values,
                                 const torch::Tensor& dy) {
    const torch::Tensor x = x_values.detach().clone().requires_grad_();
    const torch::Tensor shortcut =
        shortcut_values.defined() ? shortcut_values.detach().clone().requires_grad_() : torch::Tensor();
    norm->zero_grad();
    const torch::Tensor y = shortcut.defined() ? norm->forward_add_relu(x, shortcut) : norm->forward_relu(x);
    y.backward(dy.to(y.scalar_type()));
    std::vector<torch::Tensor> all = {y.detach(),
                                      x.grad(),
                                      norm->weight.grad().clone(),
                                      norm->bias.grad().clone(),
                                      norm->running_mean.clone(),
                                      norm->running_var.clone()};
    if (shortcut.defined()) all.push_back(shortcut.grad());
    return all;
  }
  BatchNorm2d norm{nullptr};
};

inline constexpr const char* kNormOutputs[] = {"y",        "dx", "dweight", "dbias", "running mean", "running variance",
                                               "dshortcut"};

struct NormInputs {
  torch::Tensor x, shortcut, dy;
  NormInputs(at::IntArrayRef sizes, at::ScalarType type, bool adds,
             at::MemoryFormat format = at::MemoryFormat::ChannelsLast) {
    torch::manual_seed(5);
    const auto draw = [&] { return torch::randn(sizes, torch::kDouble).to(type).contiguous(format); };
    x = draw() * 1.5 + 0.7;
    dy = draw();
    if (adds) shortcut = draw();
  }
};

inline double relative_distance(const torch::Tensor& a, const torch::Tensor& b) {
  const torch::Tensor wide = b.to(torch::kDouble);
  return ((a.to(torch::kDouble) - wide).norm() / (wide.norm() + 1e-30)).item<double>();
}

}  // namespace imgtrain
