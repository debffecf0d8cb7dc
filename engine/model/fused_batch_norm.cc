#include "engine/model/fused_batch_norm.h"

#include <optional>
#include <utility>

#include "engine/model/device_stream.h"
#include "engine/model/feature_rows.h"

namespace imgtrain {
namespace {

using kernels::Activation;
using kernels::NumberType;
using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

Activation activation_of(bool relu, bool has_shortcut) {
  if (!relu) return Activation::kNone;
  return has_shortcut ? Activation::kAddRelu : Activation::kRelu;
}

// Of the gradients of two readers, or that of the only one.
Tensor sum(const Tensor& dy, const Tensor& dy_too) {
  return dy_too.defined() ? dy + dy_too : dy;
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

  Result forward(const Tensor& given_x, const Tensor& given_shortcut, const Parameters& p) const override {
    const c10::DeviceGuard on_device(given_x.device());
    const Tensor x = as_rows(given_x);
    const Tensor shortcut = given_shortcut.defined() ? as_rows(given_shortcut) : Tensor();
    const auto shape = shape_of(x);
    Result result;
    result.y = torch::empty_like(x);
    result.mean = torch::empty_like(p.weight);
    result.invstd = torch::empty_like(p.weight);
    if (shortcut.defined()) result.mask = torch::empty({kernels::mask_bytes(shape)}, x.options().dtype(torch::kByte));
    const Tensor workspace = torch::empty({kernels::workspace_floats(shape)}, p.weight.options());
    kernels::BatchNormForward a;
    a.shape = shape;
    a.activation = activation_of(p.relu, shortcut.defined());
    a.eps = static_cast<float>(p.eps);
    a.momentum = static_cast<float>(p.momentum);
    a.x = x.const_data_ptr();
    a.weight = p.weight.const_data_ptr<float>();
    a.bias = p.bias.const_data_ptr<float>();
    a.y = result.y.mutable_data_ptr();
    a.mean = result.mean.mutable_data_ptr<float>();
    a.invstd = result.invstd.mutable_data_ptr<float>();
    a.running_mean = p.running_mean.mutable_data_ptr<float>();
    a.running_var = p.running_var.mutable_data_ptr<float>();
    if (shortcut.defined()) {
      a.shortcut = shortcut.const_data_ptr();
      a.mask = result.mask.mutable_data_ptr<uint8_t>();
    }
    a.workspace = workspace.mutable_data_ptr<float>();
    require_queued(launchers_.forward(a, current_stream(x.device())));
    return result;
  }

  Gradients backward(const Tensor& given_dy, const Tensor& given_dy_too, const Tensor& given_x, bool has_shortcut,
                     const Parameters& p, const Result& forward) const override {
    const c10::DeviceGuard on_device(given_x.device());
    const bool adds_gradients = has_shortcut && given_dy_too.defined();
    const Tensor x = as_rows(given_x);
    const Tensor dy = as_rows(adds_gradients ? given_dy : sum(given_dy, given_dy_too));
    const Tensor dy_too = adds_gradients ? as_rows(given_dy_too) : Tensor();
    const auto shape = shape_of(x);
    Gradients gradients;
    gradients.dx = torch::empty_like(x);
    if (has_shortcut) gradients.dshortcut = torch::empty_like(x);
    gradients.dweight = torch::empty_like(p.weight);
    gradients.dbias = torch::empty_like(p.weight);
    const Tensor workspace = torch::empty({kernels::workspace_floats(shape)}, p.weight.options());
    kernels::BatchNormBackward a;
    a.shape = shape;
    a.activation = activation_of(p.relu, has_shortcut);
    a.dy = dy.const_data_ptr();
    if (adds_gradients) a.dy_too = dy_too.const_data_ptr();
    a.x = x.const_data_ptr();
    a.weight = p.weight.const_data_ptr<float>();
    a.bias = p.bias.const_data_ptr<float>();
    a.mean = forward.mean.const_data_ptr<float>();
    a.invstd = forward.invstd.const_data_ptr<float>();
    a.dx = gradients.dx.mutable_data_ptr();
    if (has_shortcut) {
      a.mask = forward.mask.const_data_ptr<uint8_t>();
      a.dshortcut = gradients.dshortcut.mutable_data_ptr();
    }
    a.dweight = gradients.dweight.mutable_data_ptr<float>();
    a.dbias = gradients.dbias.mutable_data_ptr<float>();
    a.workspace = workspace.mutable_data_ptr<float>();
    require_queued(launchers_.backward(a, current_stream(x.device())));
    return gradients;
  }

 private:
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

// Views of `t` (C) that broadcast over N x C x H x W.
Tensor per_channel(const Tensor& t) {
  return t.view({1, -1, 1, 1});
}

class ReferenceFusedNorm : public FusedNorm {
 public:
  bool takes(const Tensor& x, const Tensor&) const override { return x.dim() == 4 && x.numel() > 0; }

  Result forward(const Tensor& x, const Tensor& shortcut, const Parameters& p) const override {
    const auto type = p.weight.scalar_type();
    const Tensor wide = x.to(type);
    const auto [var, mean] = torch::var_mean(wide, {0, 2, 3}, /*correction=*/0);
    const auto n = static_cast<double>(x.numel() / x.size(1));
    Result result;
    result.mean = mean;
    result.invstd = (var + p.eps).rsqrt();
    Tensor y = (wide - per_channel(mean)) * per_channel(p.weight * result.invstd) + per_channel(p.bias);
    if (shortcut.defined()) y = y + shortcut.to(type);
    if (p.relu) y = y.relu();
    result.y = y.to(x.scalar_type());
    if (p.relu) result.mask = result.y.le(0);  // As relu's backward asks: NaN is not stopped.
    Tensor running_mean = p.running_mean, running_var = p.running_var;
    running_mean.mul_(1 - p.momentum).add_(mean, p.momentum);
    running_var.mul_(1 - p.momentum).add_(var * (n / (n - 1)), p.momentum);
    return result;
  }

  Gradients backward(const Tensor& dy, const Tensor& dy_too, const Tensor& x, bool has_shortcut, const Parameters& p,
                     const Result& forward) const override {
    const auto type = p.weight.scalar_type();
    const auto n = static_cast<double>(x.numel() / x.size(1));
    Tensor g = sum(dy, dy_too).to(type);
    if (p.relu) g = g.masked_fill(forward.mask, 0);
    const Tensor normal = (x.to(type) - per_channel(forward.mean)) * per_channel(forward.invstd);
    Gradients gradients;
    gradients.dbias = g.sum({0, 2, 3});
    gradients.dweight = (g * normal).sum({0, 2, 3});
    const Tensor inner = g - per_channel(gradients.dbias / n) - normal * per_channel(gradients.dweight / n);
    gradients.dx = (per_channel(p.weight * forward.invstd) * inner).to(x.scalar_type());
    if (has_shortcut) gradients.dshortcut = g.to(x.scalar_type());
    return gradients;
  }
};

class FusedBatchNorm : public torch::autograd::Function<FusedBatchNorm> {
 public:
  // Undefined tensors cannot be inputs of a Function: an absent shortcut is an empty optional. The result, once for
  // each reader.
  static variable_list forward(AutogradContext* context, const Tensor& x, const std::optional<Tensor>& shortcut,
                               const Tensor& weight, const Tensor& bias, const std::shared_ptr<const FusedNorm>& norm,
                               const FusedNorm::Parameters& parameters) {
    const FusedNorm::Result result = norm->forward(x, shortcut.value_or(Tensor()), parameters);
    context->save_for_backward({x, weight, bias, result.mean, result.invstd, result.mask, result.kept_y});
    context->saved_data["context"] = c10::IValue::make_capsule(
        c10::make_intrusive<Context>(result.by ? result.by : norm, parameters, shortcut.has_value()));
    // A reader that has no gradient says so, instead of sending zeros.
    context->set_materialize_grads(false);
    // Not a view in autograd's eyes: nobody writes to either.
    return parameters.forks ? variable_list{result.y, result.y.detach()} : variable_list{result.y};
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const auto own = c10::static_intrusive_pointer_cast<Context>(context->saved_data["context"].toCapsule());
    FusedNorm::Parameters parameters;
    parameters.weight = saved[1];
    parameters.bias = saved[2];
    parameters.eps = own->eps;
    parameters.relu = own->relu;
    FusedNorm::Result forward;
    forward.mean = saved[3];
    forward.invstd = saved[4];
    forward.mask = saved[5];
    forward.kept_y = saved[6];
    const Tensor& first = gradients[0].defined() ? gradients[0] : gradients[1];
    const Tensor second = gradients[0].defined() && gradients.size() > 1 ? gradients[1] : Tensor();
    const FusedNorm::Gradients result =
        own->norm->backward(first, second, saved[0], own->has_shortcut, parameters, forward);
    return {result.dx, result.dshortcut, result.dweight, result.dbias, Tensor(), Tensor()};
  }

 private:
  struct Context : public torch::CustomClassHolder {
    Context(std::shared_ptr<const FusedNorm> n, const FusedNorm::Parameters& parameters, bool shortcut)
        : norm(std::move(n)), eps(parameters.eps), relu(parameters.relu), has_shortcut(shortcut) {}
    std::shared_ptr<const FusedNorm> norm;
    double eps;
    bool relu, has_shortcut;
  };
};

}  // namespace

std::shared_ptr<const FusedNorm> kernel_fused_norm(const kernels::BatchNormLaunchers& launchers, torch::Device device) {
  return std::make_shared<KernelFusedNorm>(launchers, device);
}

std::shared_ptr<const FusedNorm> reference_fused_norm() {
  return std::make_shared<ReferenceFusedNorm>();
}

ForkedMap forked_batch_norm(const std::shared_ptr<const FusedNorm>& norm, const Tensor& x, const Tensor& shortcut,
                            const FusedNorm::Parameters& parameters) {
  const std::optional<Tensor> added = shortcut.defined() ? std::optional<Tensor>(shortcut) : std::nullopt;
  const variable_list results = FusedBatchNorm::apply(x, added, parameters.weight, parameters.bias, norm, parameters);
  return {results.front(), results.back()};
}

torch::Tensor fused_batch_norm(const std::shared_ptr<const FusedNorm>& norm, const Tensor& x, const Tensor& shortcut,
                               const FusedNorm::Parameters& parameters) {
  return forked_batch_norm(norm, x, shortcut, parameters).branch;
}

}  // namespace imgtrain
