#include "engine/model/device_stream.h"
#include "engine/model/feature_rows.h"
#include "engine/model/fused_batch_norm.h"

namespace imgtrain {
namespace {

using kernels::Activation;
using kernels::NumberType;
using torch::Tensor;

Activation activation_of(bool relu, bool has_shortcut, bool norms_shortcut) {
  if (!relu) return Activation::kNone;
  if (norms_shortcut) return Activation::kAddNormRelu;
  return has_shortcut ? Activation::kAddRelu : Activation::kRelu;
}

class KernelFusedNorm : public FusedNorm {
 public:
  KernelFusedNorm(const kernels::BatchNormLaunchers& launchers, torch::Device device)
      : launchers_(launchers), device_(device) {}

  bool takes(const Tensor& x, const Tensor& weight) const override {
    const auto type = x.scalar_type();
    return x.device().type() == device_.type() && x.dim() == 4 && x.numel() > 0 && weight.scalar_type() == at::kFloat &&
           (type == at::kFloat || type == at::kHalf || type == at::kBFloat16);
  }
  bool takes_pairs() const override { return true; }

  Result forward(const Tensor& x, const Tensor& shortcut, const Parameters& p) const override {
    return run(x, p, shortcut, nullptr).first;
  }
  PairResult forward_pair(const Tensor& x, const Parameters& p, const Tensor& shortcut,
                          const Parameters& shortcut_p) const override {
    return run(x, p, shortcut, &shortcut_p);
  }

  Gradients backward(const Tensor& dy, const Tensor& dy_too, const Tensor& x, bool has_shortcut, const Parameters& p,
                     const Result& forward) const override {
    return run_backward(dy, dy_too, x, has_shortcut, p, {forward, {}, {}}, Tensor(), nullptr).first;
  }
  PairGradients backward_pair(const Tensor& dy, const Tensor& dy_too, const Tensor& x, const Parameters& p,
                              const Tensor& shortcut, const Parameters& shortcut_p,
                              const PairResult& forward) const override {
    return run_backward(dy, dy_too, x, /*has_shortcut=*/true, p, forward, shortcut, &shortcut_p);
  }

 private:
  // `shortcut_p`: of the shortcut's own batch norm; nullptr: it has none.
  PairResult run(const Tensor& given_x, const Parameters& p, const Tensor& given_shortcut,
                 const Parameters* shortcut_p) const {
    const c10::DeviceGuard on_device(given_x.device());
    const Tensor x = as_rows(given_x);
    const Tensor shortcut = given_shortcut.defined() ? as_rows(given_shortcut) : Tensor();
    const auto shape = shape_of(x);
    PairResult result;
    result.first.y = torch::empty_like(x);
    if (shortcut.defined())
      result.first.mask = torch::empty({kernels::mask_bytes(shape)}, x.options().dtype(torch::kByte));
    const Tensor workspace = torch::empty({kernels::workspace_floats(shape)}, p.weight.options());
    kernels::BatchNormForward a;
    a.shape = shape;
    a.activation = activation_of(p.relu, shortcut.defined(), shortcut_p != nullptr);
    a.eps = static_cast<float>(p.eps);
    a.momentum = static_cast<float>(p.momentum);
    a.x = x.const_data_ptr();
    a.norm = norm_of(p, result.first.mean, result.first.invstd);
    a.y = result.first.y.mutable_data_ptr();
    if (shortcut.defined()) {
      a.shortcut = shortcut.const_data_ptr();
      a.mask = result.first.mask.mutable_data_ptr<uint8_t>();
    }
    if (shortcut_p != nullptr) a.shortcut_norm = norm_of(*shortcut_p, result.mean, result.invstd);
    a.workspace = workspace.mutable_data_ptr<float>();
    require_queued(launchers_.forward(a, current_stream(x.device())));
    return result;
  }

  PairGradients run_backward(const Tensor& given_dy, const Tensor& given_dy_too, const Tensor& given_x,
                             bool has_shortcut, const Parameters& p, const PairResult& forward,
                             const Tensor& given_shortcut, const Parameters* shortcut_p) const {
    const c10::DeviceGuard on_device(given_x.device());
    const bool adds_gradients = has_shortcut && given_dy_too.defined();
    const Tensor x = as_rows(given_x);
    const Tensor dy = as_rows(adds_gradients ? given_dy : sum(given_dy, given_dy_too));
    const Tensor dy_too = adds_gradients ? as_rows(given_dy_too) : Tensor();
    const Tensor shortcut = shortcut_p != nullptr ? as_rows(given_shortcut) : Tensor();
    const auto shape = shape_of(x);
    PairGradients gradients;
    gradients.first.dx = torch::empty_like(x);
    if (has_shortcut) gradients.first.dshortcut = torch::empty_like(x);
    const Tensor workspace = torch::empty({kernels::workspace_floats(shape)}, p.weight.options());
    kernels::BatchNormBackward a;
    a.shape = shape;
    a.activation = activation_of(p.relu, has_shortcut, shortcut_p != nullptr);
    a.dy = dy.const_data_ptr();
    if (adds_gradients) a.dy_too = dy_too.const_data_ptr();
    a.x = x.const_data_ptr();
    a.norm = norm_of(p, forward.first.mean, forward.first.invstd, gradients.first.dweight, gradients.first.dbias);
    a.dx = gradients.first.dx.mutable_data_ptr();
    if (has_shortcut) {
      a.mask = forward.first.mask.const_data_ptr<uint8_t>();
      a.dshortcut = gradients.first.dshortcut.mutable_data_ptr();
    }
    if (shortcut_p != nullptr) {
      a.shortcut = shortcut.const_data_ptr();
      a.shortcut_norm = norm_of(*shortcut_p, forward.mean, forward.invstd, gradients.dweight, gradients.dbias);
    }
    a.workspace = workspace.mutable_data_ptr<float>();
    require_queued(launchers_.backward(a, current_stream(x.device())));
    return gradients;
  }

  // Makes what comes out.
  static kernels::NormForward norm_of(const Parameters& p, Tensor& mean, Tensor& invstd) {
    mean = torch::empty_like(p.weight);
    invstd = torch::empty_like(p.weight);
    kernels::NormForward norm;
    norm.weight = p.weight.const_data_ptr<float>();
    norm.bias = p.bias.const_data_ptr<float>();
    norm.mean = mean.mutable_data_ptr<float>();
    norm.invstd = invstd.mutable_data_ptr<float>();
    norm.running_mean = p.running_mean.mutable_data_ptr<float>();
    norm.running_var = p.running_var.mutable_data_ptr<float>();
    return norm;
  }
  static kernels::NormBackward norm_of(const Parameters& p, const Tensor& mean, const Tensor& invstd, Tensor& dweight,
                                       Tensor& dbias) {
    dweight = torch::empty_like(p.weight);
    dbias = torch::empty_like(p.weight);
    kernels::NormBackward norm;
    norm.weight = p.weight.const_data_ptr<float>();
    norm.bias = p.bias.const_data_ptr<float>();
    norm.mean = mean.const_data_ptr<float>();
    norm.invstd = invstd.const_data_ptr<float>();
    norm.dweight = dweight.mutable_data_ptr<float>();
    norm.dbias = dbias.mutable_data_ptr<float>();
    return norm;
  }

  kernels::BatchNormShape shape_of(const Tensor& x) const {
    kernels::BatchNormShape shape;
    shape.channels = static_cast<int>(x.size(1));
    shape.rows = x.numel() / shape.channels;
    shape.type = x.scalar_type() == at::kFloat  ? NumberType::kFloat
                 : x.scalar_type() == at::kHalf ? NumberType::kHalf
                                                : NumberType::kBFloat16;
    shape.multiprocessors = multiprocessors(x.device());
    return shape;
  }

  kernels::BatchNormLaunchers launchers_;
  torch::Device device_;
};

}  // namespace

std::shared_ptr<const FusedNorm> kernel_fused_norm(const kernels::BatchNormLaunchers& launchers, torch::Device device) {
  return std::make_shared<KernelFusedNorm>(launchers, device);
}

}  // namespace imgtrain
