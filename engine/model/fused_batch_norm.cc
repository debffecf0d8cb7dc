#include "engine/model/fused_batch_norm.h"

#include <optional>
#include <utility>

#include "format/error.h"

namespace imgtrain {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// What backward wants to know that is no tensor.
struct NormContext : public torch::CustomClassHolder {
  NormContext(std::shared_ptr<const FusedNorm> n, const FusedNorm::Parameters& parameters, bool shortcut)
      : norm(std::move(n)),
        eps(parameters.eps),
        relu(parameters.relu),
        forks(parameters.forks),
        has_shortcut(shortcut) {}
  std::shared_ptr<const FusedNorm> norm;
  double eps;
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
    context->saved_data["context"] = c10::IValue::make_capsule(
        c10::make_intrusive<NormContext>(result.first.by ? result.first.by : norm, parameters, /*shortcut=*/true));
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
    shortcut_parameters.eps = own->eps;
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

Tensor FusedNorm::sum(const Tensor& dy, const Tensor& dy_too) {
  return dy_too.defined() ? dy + dy_too : dy;
}

FusedNorm::PairResult FusedNorm::forward_pair(const Tensor&, const Parameters&, const Tensor&,
                                              const Parameters&) const {
  throw imgpack::Error(imgpack::ErrorKind::kInternal, "two batch norms in one: asked of what does not take pairs");
}

FusedNorm::PairGradients FusedNorm::backward_pair(const Tensor&, const Tensor&, const Tensor&, const Parameters&,
                                                  const Tensor&, const Parameters&, const PairResult&) const {
  throw imgpack::Error(imgpack::ErrorKind::kInternal, "two batch norms in one: asked of what does not take pairs");
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

}  // namespace imgtrain
