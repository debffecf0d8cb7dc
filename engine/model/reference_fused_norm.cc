#include "engine/model/fused_batch_norm.h"

namespace imgtrain {
namespace {

using torch::Tensor;

// Views of `t` (C) that broadcast over N x C x H x W.
Tensor per_channel(const Tensor& t) {
  return t.view({1, -1, 1, 1});
}

class ReferenceFusedNorm : public FusedNorm {
 public:
  bool takes(const Tensor& x, const Tensor&) const override { return x.dim() == 4 && x.numel() > 0; }
  bool takes_pairs() const override { return true; }

  Result forward(const Tensor& x, const Tensor& shortcut, const Parameters& p) const override {
    Result result;
    Tensor y = normalise(x, p, result.mean, result.invstd);
    if (shortcut.defined()) y = y + shortcut.to(y.scalar_type());
    finish(y, x.scalar_type(), p.relu, result);
    return result;
  }
  PairResult forward_pair(const Tensor& x, const Parameters& p, const Tensor& shortcut,
                          const Parameters& shortcut_p) const override {
    PairResult result;
    const Tensor y = normalise(x, p, result.first.mean, result.first.invstd);
    finish(y + normalise(shortcut, shortcut_p, result.mean, result.invstd), x.scalar_type(), /*relu=*/true,
           result.first);
    return result;
  }

  Gradients backward(const Tensor& dy, const Tensor& dy_too, const Tensor& x, bool has_shortcut, const Parameters& p,
                     const Result& forward) const override {
    const Tensor g = before_relu(dy, dy_too, p, p.relu, forward);
    Gradients gradients;
    gradients.dx = of_norm(g, x, p, forward.mean, forward.invstd, gradients.dweight, gradients.dbias);
    if (has_shortcut) gradients.dshortcut = g.to(x.scalar_type());
    return gradients;
  }
  PairGradients backward_pair(const Tensor& dy, const Tensor& dy_too, const Tensor& x, const Parameters& p,
                              const Tensor& shortcut, const Parameters& shortcut_p,
                              const PairResult& forward) const override {
    const Tensor g = before_relu(dy, dy_too, p, /*relu=*/true, forward.first);
    PairGradients gradients;
    gradients.first.dx =
        of_norm(g, x, p, forward.first.mean, forward.first.invstd, gradients.first.dweight, gradients.first.dbias);
    gradients.first.dshortcut =
        of_norm(g, shortcut, shortcut_p, forward.mean, forward.invstd, gradients.dweight, gradients.dbias);
    return gradients;
  }

 private:
  // In the type of the parameters; moves the running statistics.
  static Tensor normalise(const Tensor& x, const Parameters& p, Tensor& mean, Tensor& invstd) {
    const Tensor wide = x.to(p.weight.scalar_type());
    const auto [var, centre] = torch::var_mean(wide, {0, 2, 3}, /*correction=*/0);
    const auto n = static_cast<double>(x.numel() / x.size(1));
    mean = centre;
    invstd = (var + p.eps).rsqrt();
    Tensor running_mean = p.running_mean, running_var = p.running_var;
    running_mean.mul_(1 - p.momentum).add_(mean, p.momentum);
    running_var.mul_(1 - p.momentum).add_(var * (n / (n - 1)), p.momentum);
    return (wide - per_channel(mean)) * per_channel(p.weight * invstd) + per_channel(p.bias);
  }

  static void finish(const Tensor& y, at::ScalarType type, bool relu, Result& result) {
    result.y = (relu ? y.relu() : y).to(type);
    if (relu) result.mask = result.y.le(0);  // As relu's backward asks: NaN is not stopped.
  }

  // The gradient of what ReLU was given, in the type of the parameters.
  static Tensor before_relu(const Tensor& dy, const Tensor& dy_too, const Parameters& p, bool relu,
                            const Result& forward) {
    const Tensor g = sum(dy, dy_too).to(p.weight.scalar_type());
    return relu ? g.masked_fill(forward.mask, 0) : g;
  }

  // dx of one batch norm whose result has the gradient g.
  static Tensor of_norm(const Tensor& g, const Tensor& x, const Parameters& p, const Tensor& mean, const Tensor& invstd,
                        Tensor& dweight, Tensor& dbias) {
    const auto n = static_cast<double>(x.numel() / x.size(1));
    const Tensor normal = (x.to(p.weight.scalar_type()) - per_channel(mean)) * per_channel(invstd);
    dbias = g.sum({0, 2, 3});
    dweight = (g * normal).sum({0, 2, 3});
    const Tensor inner = g - per_channel(dbias / n) - normal * per_channel(dweight / n);
    return (per_channel(p.weight * invstd) * inner).to(x.scalar_type());
  }
};

}  // namespace

std::shared_ptr<const FusedNorm> reference_fused_norm() {
  return std::make_shared<ReferenceFusedNorm>();
}

}  // namespace imgtrain
