#include "engine/model/fused_batch_norm.h"

#include <optional>
#include <utility>

#include "engine/model/device_stream.h"
#include "engine/model/feature_rows.h"
#include "format/error.h"

namespace imgtrain {
namespace {

using kernels::Activation;
using kernels::NumberType;
using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

Activation activation_of(bool relu, bool has_shortcut, bool norms_shortcut) {
  if (!relu) return Activation::kNone;
  if (norms_shortcut) return Activation::kAddNormRelu;
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

// What backward wants to know that is no tensor.
struct NormContext : public torch::CustomClassHolder {
  NormContext(std::shared_ptr<const FusedNorm> n, const FusedNorm::Parameters& parameters, bool shortcut,
              double shortcut_eps_ = 0)
      : norm(std::move(n)),
        eps(parameters.eps),
        shortcut_eps(shortcut_eps_),
        relu(parameters.relu),
        forks(parameters.forks),
        has_shortcut(shortcut) {}
  std::shared_ptr<const FusedNorm> norm;
  double eps, shortcut_eps;
  bool relu, forks, has_shortcut;
};

// The result, once for each reader.
variable_list for_readers(AutogradContext* context, const Tensor& y, bool forks) {
  // A reader that has no gradient says so, instead of sending zeros.
  context->set_materialize_grads(false);
  // Not a view in autograd's eyes: nobody writes to either.
  return forks ? variable_list{y, y.detach()} : variable_list{y};
}

// The gradients of the readers that have one.
std::pair<Tensor, Tensor> of_readers(const variable_list& gradients) {
  if (!gradients[0].defined()) return {gradients[1], Tensor()};
  return {gradients[0], gradients.size() > 1 ? gradients[1] : Tensor()};
}

class FusedBatchNorm : public torch::autograd::Function<FusedBatchNorm> {
 public:
  // Undefined tensors cannot be inputs of a Function: an absent shortcut is an empty optional.
  static variable_list forward(AutogradContext* context, const Tensor& x, const std::optional<Tensor>& shortcut,
                               const Tensor& weight, const Tensor& bias, const std::shared_ptr<const FusedNorm>& norm,
                               const FusedNorm::Parameters& parameters) {
    const FusedNorm::Result result = norm->forward(x, shortcut.value_or(Tensor()), parameters);
    context->save_for_backward({x, weight, bias, result.mean, result.invstd, result.mask, result.kept_y});
    context->saved_data["context"] = c10::IValue::make_capsule(
        c10::make_intrusive<NormContext>(result.by ? result.by : norm, parameters, shortcut.has_value()));
    return for_readers(context, result.y, parameters.forks);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const auto own = c10::static_intrusive_pointer_cast<NormContext>(context->saved_data["context"].toCapsule());
    FusedNorm::Parameters parameters;
    parameters.weight = saved[1];
    parameters.bias = saved[2];
    parameters.eps = own->eps;
    parameters.relu = own->relu;
    parameters.forks = own->forks;
    FusedNorm::Result forward;
    forward.mean = saved[3];
    forward.invstd = saved[4];
    forward.mask = saved[5];
    forward.kept_y = saved[6];
    const auto [dy, dy_too] = of_readers(gradients);
    const FusedNorm::Gradients result =
        own->norm->backward(dy, dy_too, saved[0], own->has_shortcut, parameters, forward);
    return {result.dx, result.dshortcut, result.dweight, result.dbias, Tensor(), Tensor()};
  }
};

class FusedBatchNormPair : public torch::autograd::Function<FusedBatchNormPair> {
 public:
  static variable_list forward(AutogradContext* context, const Tensor& x, const Tensor& weight, const Tensor& bias,
                               const Tensor& shortcut, const Tensor& shortcut_weight, const Tensor& shortcut_bias,
                               const std::shared_ptr<const FusedNorm>& norm, const FusedNorm::Parameters& parameters,
                               const FusedNorm::Parameters& shortcut_parameters) {
    const FusedNorm::PairResult result = norm->forward_pair(x, parameters, shortcut, shortcut_parameters);
    context->save_for_backward({x, weight, bias, shortcut, shortcut_weight, shortcut_bias, result.first.mean,
                                result.first.invstd, result.first.mask, result.mean, result.invstd});
    context->saved_data["context"] = c10::IValue::make_capsule(c10::make_intrusive<NormContext>(
        result.first.by ? result.first.by : norm, parameters, /*shortcut=*/true, shortcut_parameters.eps));
    return for_readers(context, result.first.y, parameters.forks);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const auto own = c10::static_intrusive_pointer_cast<NormContext>(context->saved_data["context"].toCapsule());
    FusedNorm::Parameters parameters, shortcut_parameters;
    parameters.weight = saved[1];
    parameters.bias = saved[2];
    parameters.eps = own->eps;
    parameters.forks = own->forks;
    shortcut_parameters.weight = saved[4];
    shortcut_parameters.bias = saved[5];
    shortcut_parameters.eps = own->shortcut_eps;
    FusedNorm::PairResult forward;
    forward.first.mean = saved[6];
    forward.first.invstd = saved[7];
    forward.first.mask = saved[8];
    forward.mean = saved[9];
    forward.invstd = saved[10];
    const auto [dy, dy_too] = of_readers(gradients);
    const FusedNorm::PairGradients result =
        own->norm->backward_pair(dy, dy_too, saved[0], parameters, saved[3], shortcut_parameters, forward);
    return {result.first.dx, result.first.dweight, result.first.dbias, result.first.dshortcut,
            result.dweight,  result.dbias,         Tensor(),           Tensor(),
            Tensor()};
  }
};

}  // namespace

FusedNorm::PairResult FusedNorm::forward_pair(const Tensor&, const Parameters&, const Tensor&,
                                              const Parameters&) const {
  throw imgpack::Error(imgpack::ErrorKind::kInternal, "two batch norms in one: asked of what does not take pairs");
}

FusedNorm::PairGradients FusedNorm::backward_pair(const Tensor&, const Tensor&, const Tensor&, const Parameters&,
                                                  const Tensor&, const Parameters&, const PairResult&) const {
  throw imgpack::Error(imgpack::ErrorKind::kInternal, "two batch norms in one: asked of what does not take pairs");
}

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

ForkedMap forked_batch_norm_pair(const std::shared_ptr<const FusedNorm>& norm, const Tensor& x,
                                 const FusedNorm::Parameters& parameters, const Tensor& shortcut,
                                 const FusedNorm::Parameters& shortcut_parameters) {
  const variable_list results =
      FusedBatchNormPair::apply(x, parameters.weight, parameters.bias, shortcut, shortcut_parameters.weight,
                                shortcut_parameters.bias, norm, parameters, shortcut_parameters);
  return {results.front(), results.back()};
}

torch::Tensor fused_batch_norm(const std::shared_ptr<const FusedNorm>& norm, const Tensor& x, const Tensor& shortcut,
                               const FusedNorm::Parameters& parameters) {
  return forked_batch_norm(norm, x, shortcut, parameters).branch;
}

}  // namespace imgtrain
