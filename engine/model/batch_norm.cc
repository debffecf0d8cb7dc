#include "engine/model/batch_norm.h"

#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_lerp.h>

#include <utility>

#include "engine/model/fused_batch_norm.h"
#include "engine/model/layer_observer.h"
#include "format/error.h"

namespace imgtrain {
namespace {

using torch::Tensor;

// Views of `t` (C) that broadcast over N x C x H x W.
Tensor per_channel(const Tensor& t) {
  return t.view({1, -1, 1, 1});
}

// Batch norm over the batches of all ranks. The statistics are exchanged in double, as count, sum and sum of squares,
// which costs one exchange of 2C + 1 numbers each way and loses nothing to cancellation.
// Backward: with g = dL/dy, xhat = (x - mean) * invstd and N values per channel on all ranks together,
//   dL/dx = weight * invstd * (g - sum(g) / N - xhat * sum(g * xhat) / N),
// where sums run over all ranks. dL/dweight and dL/dbias stay local: the gradient exchange sums them.
class SynchronizedBatchNorm : public torch::autograd::Function<SynchronizedBatchNorm> {
 public:
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context, const Tensor& x,
                                                const Tensor& weight, const Tensor& bias, double eps,
                                                const SumOverRanks& sum_over_ranks) {
    const int64_t channels = weight.numel();
    const double local_count = static_cast<double>(x.numel() / channels);
    Tensor packed = torch::zeros({2 * channels + 1}, weight.options().dtype(torch::kDouble));
    if (local_count > 0) {
      // Two passes in float accumulation give the local variance; the sums are then exact enough in double.
      auto [var, mean] = torch::var_mean(x.to(weight.scalar_type()), {0, 2, 3}, /*correction=*/0);
      mean = mean.to(torch::kDouble);
      packed.narrow(0, 0, channels).copy_(mean * local_count);
      packed.narrow(0, channels, channels).copy_((var.to(torch::kDouble) + mean * mean) * local_count);
      packed[2 * channels].fill_(local_count);
    }
    sum_over_ranks(packed);
    const Tensor count = packed[2 * channels];
    const Tensor mean = packed.narrow(0, 0, channels) / count;
    const Tensor var = (packed.narrow(0, channels, channels) / count - mean * mean).clamp_min_(0.0);
    const Tensor unbiased_var = var * (count / (count - 1));
    const Tensor mean_f = mean.to(weight.scalar_type()), var_f = var.to(weight.scalar_type());
    Tensor y = local_count > 0
                   ? at::batch_norm(x, weight, bias, mean_f, var_f, /*training=*/false, 0.0, eps, /*cudnn=*/false)
                   : torch::empty_like(x);
    context->save_for_backward({x, weight, mean_f, var_f, count});
    context->saved_data["eps"] = eps;
    context->saved_data["sum"] = c10::IValue::make_capsule(c10::make_intrusive<Exchange>(sum_over_ranks));
    const Tensor unbiased_f = unbiased_var.to(weight.scalar_type());
    context->mark_non_differentiable({mean_f, unbiased_f});
    return {y, mean_f, unbiased_f};
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1], &mean = saved[2], &var = saved[3], &count = saved[4];
    const double eps = context->saved_data["eps"].toDouble();
    const auto exchange = c10::static_intrusive_pointer_cast<Exchange>(context->saved_data["sum"].toCapsule());
    const Tensor grad = gradients[0].contiguous(x.suggest_memory_format());
    const int64_t channels = weight.numel();

    Tensor grad_x = torch::zeros_like(x), grad_weight = torch::zeros_like(weight),
           grad_bias = torch::zeros_like(weight);
    if (x.numel() > 0) {
      // The backward of batch norm with fixed statistics is the first term of the sum above, and gives both sums.
      std::tie(grad_x, grad_weight, grad_bias) = at::native_batch_norm_backward(
          grad, x, weight, mean, var, /*save_mean=*/{}, /*save_invstd=*/{}, /*train=*/false, eps, {true, true, true});
    }
    Tensor packed = torch::cat({grad_weight, grad_bias}).to(torch::kDouble);
    exchange->sum(packed);
    if (x.numel() > 0) {
      const Tensor mean_d = mean.to(torch::kDouble);
      const Tensor invstd = (var.to(torch::kDouble) + eps).rsqrt();
      // grad_x -= weight * invstd / N * (sum(g) + (x - mean) * invstd * sum(g * xhat)), as one affine map of x.
      const Tensor scale = weight.to(torch::kDouble) * invstd / count;
      const Tensor slope = scale * invstd * packed.narrow(0, 0, channels);
      const Tensor offset = scale * packed.narrow(0, channels, channels) - slope * mean_d;
      const auto type = weight.scalar_type();
      const Tensor correction = torch::addcmul(per_channel(offset.to(type)), x.to(type), per_channel(slope.to(type)));
      grad_x = (grad_x.to(type) - correction).to(x.scalar_type());
    }
    return {grad_x, grad_weight, grad_bias, Tensor(), Tensor()};
  }

 private:
  struct Exchange : public torch::CustomClassHolder {
    explicit Exchange(SumOverRanks s) : sum(std::move(s)) {}
    SumOverRanks sum;
  };
};

// What a fused training pass of a layer is told. Statistics go to a collector's tensors, where they are defined;
// otherwise the layer's own move, and its batch is counted.
FusedNorm::Parameters begin_fused(BatchNorm2dImpl& layer, const Tensor& group_mean, const Tensor& group_var,
                                  bool forks) {
  const bool collected = group_mean.defined();
  if (!collected) layer.num_batches_tracked.add_(1);
  FusedNorm::Parameters parameters;
  parameters.weight = layer.weight;
  parameters.bias = layer.bias;
  parameters.running_mean = collected ? group_mean : layer.running_mean;
  parameters.running_var = collected ? group_var : layer.running_var;
  parameters.momentum = collected ? 1.0 : layer.momentum();
  parameters.eps = layer.eps();
  parameters.forks = forks;
  return parameters;
}

}  // namespace

BatchNorm2dImpl::BatchNorm2dImpl(int64_t channels, double momentum, double eps)
    : weight(register_parameter("weight", torch::ones({channels}))),
      bias(register_parameter("bias", torch::zeros({channels}))),
      running_mean(register_buffer("running_mean", torch::zeros({channels}))),
      running_var(register_buffer("running_var", torch::ones({channels}))),
      num_batches_tracked(register_buffer("num_batches_tracked", torch::zeros({}, torch::kLong))),
      momentum_(momentum),
      eps_(eps) {}

torch::Tensor BatchNorm2dImpl::forward(const torch::Tensor& x) {
  return observed(LayerKind::kNorm, this, {}, {x}, [&] { return separate(x); });
}

torch::Tensor BatchNorm2dImpl::forward_relu(const torch::Tensor& x) {
  return observed(LayerKind::kNormRelu, this, {}, {x}, [&] { return activated(x, {}, /*forks=*/false).branch; });
}

torch::Tensor BatchNorm2dImpl::forward_add_relu(const torch::Tensor& x, const torch::Tensor& shortcut) {
  return add_relu(x, shortcut, /*forks=*/false).branch;
}

ForkedMap BatchNorm2dImpl::add_relu(const torch::Tensor& x, const torch::Tensor& shortcut, bool forks) {
  ForkedMap map;
  observed(LayerKind::kNormAddRelu, this, {}, {x, shortcut}, [&] {
    map = activated(x, shortcut, forks);
    return map.branch;
  });
  return map;
}

void BatchNorm2dImpl::require_several_values(const torch::Tensor& x) const {
  if (x.numel() == channels())
    throw imgpack::Error(imgpack::ErrorKind::kInvalidInput,
                         "batch norm needs more than one value per channel to train: found a batch of one sample whose "
                         "feature maps have shrunk to 1 x 1",
                         {}, {}, "use a larger batch or larger images");
}

bool BatchNorm2dImpl::fuses(const torch::Tensor& x) const {
  return is_training() && fused_ != nullptr && !sum_over_ranks_ && fused_->takes(x, weight);
}

ForkedMap BatchNorm2dImpl::add_norm_relu(const torch::Tensor& x, const torch::Tensor& shortcut,
                                         BatchNorm2dImpl& shortcut_norm, bool forks) {
  const bool pairs = fuses(x) && shortcut_norm.fuses(shortcut) && fused_->takes_pairs() &&
                     momentum_ == shortcut_norm.momentum_ && eps_ == shortcut_norm.eps_ &&
                     x.sizes() == shortcut.sizes() && x.scalar_type() == shortcut.scalar_type();
  if (!pairs) return add_relu(x, shortcut_norm.forward(shortcut), forks);
  ForkedMap map;
  observed(LayerKind::kNormsAddRelu, this, {}, {x, shortcut}, [&] {
    require_several_values(x);
    map =
        forked_batch_norm_pair(fused_, x, begin_fused(*this, group_mean_, group_var_, forks), shortcut,
                               begin_fused(shortcut_norm, shortcut_norm.group_mean_, shortcut_norm.group_var_, forks));
    return map.branch;
  });
  return map;
}

ForkedMap BatchNorm2dImpl::activated(const torch::Tensor& x, const torch::Tensor& shortcut, bool forks) {
  if (fuses(x)) {
    require_several_values(x);
    const FusedNorm::Parameters parameters = begin_fused(*this, group_mean_, group_var_, forks);
    return forked_batch_norm(fused_, x, shortcut.defined() ? shortcut.to(x.scalar_type()) : shortcut, parameters);
  }
  // The addition and ReLU work in place: no one else holds a batch norm's output, and its backward needs only its
  // input.
  Tensor y = separate(x);
  if (shortcut.defined()) y.add_(shortcut);
  y.relu_();
  return {y, y};
}

torch::Tensor BatchNorm2dImpl::separate(const torch::Tensor& x) {
  const bool cudnn = at::globalContext().userEnabledCuDNN();
  if (!is_training())
    return torch::batch_norm(x, weight, bias, running_mean, running_var, /*training=*/false, momentum_, eps_, cudnn);

  const bool collected = group_mean_.defined();
  if (sum_over_ranks_) {
    auto out = SynchronizedBatchNorm::apply(x, weight, bias, eps_, sum_over_ranks_);
    torch::NoGradGuard no_grad;
    if (collected) {
      group_mean_.copy_(out[1]);
      group_var_.copy_(out[2]);
    } else {
      num_batches_tracked.add_(1);
      running_mean.lerp_(out[1], momentum_);
      running_var.lerp_(out[2], momentum_);
    }
    return out[0];
  }
  require_several_values(x);
  if (collected)
    return torch::batch_norm(x, weight, bias, group_mean_, group_var_, true, /*momentum=*/1.0, eps_, cudnn);
  num_batches_tracked.add_(1);
  return torch::batch_norm(x, weight, bias, running_mean, running_var, true, momentum_, eps_, cudnn);
}

void BatchNorm2dImpl::pretty_print(std::ostream& out) const {
  out << "imgtrain::BatchNorm2d(" << channels() << ", momentum=" << momentum_ << ", eps=" << eps_ << ")";
}

BatchNormStatistics::BatchNormStatistics(torch::nn::Module& model) {
  for (const auto& module : model.modules()) {
    if (auto layer = std::dynamic_pointer_cast<BatchNorm2dImpl>(module)) {
      layers_.push_back(layer);
      channels_.insert(channels_.end(), 2, layer->channels());
    }
  }
  if (layers_.empty())
    throw imgpack::Error(imgpack::ErrorKind::kInternal, "the model has no batch norm to collect from");
  int64_t total = 0;
  for (const int64_t n : channels_) total += n;
  const auto options = layers_[0]->running_mean.options();
  group_ = torch::zeros({total}, options);
  sums_ = torch::zeros({total + 1}, options.dtype(torch::kDouble));
  // The layers see the same memory under a version counter of its own: autograd keeps the tensor it was handed, and
  // would take clearing it for an in-place change of something that backward needs (it does not, in training).
  const auto views = group_.variable_data().split_with_sizes(channels_);
  for (size_t i = 0; i < layers_.size(); ++i) {
    layers_[i]->group_mean_ = views[2 * i];
    layers_[i]->group_var_ = views[2 * i + 1];
  }
}

BatchNormStatistics::~BatchNormStatistics() {
  for (const auto& layer : layers_) layer->group_mean_ = layer->group_var_ = Tensor();
}

void BatchNormStatistics::begin_step() {
  sums_.zero_();
  group_.zero_();
}

void BatchNormStatistics::add_group(int64_t samples) {
  torch::NoGradGuard no_grad;
  const double weight = static_cast<double>(samples);
  sums_.narrow(0, 0, group_.numel()).add_(group_, weight);
  sums_.narrow(0, group_.numel(), 1).add_(weight);
  // A forward pass computes 1 * new + 0 * old: a NaN left here would stay for ever.
  group_.zero_();
}

void BatchNormStatistics::discard_group() {
  torch::NoGradGuard no_grad;
  group_.zero_();
}

void BatchNormStatistics::commit() {
  torch::NoGradGuard no_grad;
  const Tensor means = (sums_.narrow(0, 0, group_.numel()) / sums_[group_.numel()]).to(group_.scalar_type());
  const auto views = means.split_with_sizes(channels_);
  std::vector<Tensor> running, batches;
  for (const auto& layer : layers_) {
    running.push_back(layer->running_mean);
    running.push_back(layer->running_var);
    batches.push_back(layer->num_batches_tracked);
  }
  at::_foreach_lerp_(running, views, layers_[0]->momentum());
  at::_foreach_add_(batches, 1);
}

void fuse_batch_norm(torch::nn::Module& model, const std::shared_ptr<const FusedNorm>& fused) {
  for (const auto& module : model.modules())
    if (auto* layer = dynamic_cast<BatchNorm2dImpl*>(module.get())) layer->fuse(fused);
}

void synchronize_batch_norm(torch::nn::Module& model, const SumOverRanks& sum) {
  for (const auto& module : model.modules())
    if (auto* layer = dynamic_cast<BatchNorm2dImpl*>(module.get())) layer->synchronize(sum);
}

}  // namespace imgtrain
