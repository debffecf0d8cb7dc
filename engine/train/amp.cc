#include "engine/train/amp.h"

#include <ATen/autocast_mode.h>
#include <ATen/ops/_amp_foreach_non_finite_check_and_unscale.h>
#include <ATen/ops/_amp_update_scale.h>

namespace imgtrain {
namespace {

constexpr double kGrowth = 2.0, kBackoff = 0.5;

}  // namespace

Autocast::Autocast(torch::DeviceType device, Precision precision)
    : device_(device), active_(precision == Precision::kBf16 || precision == Precision::kFp16) {
  if (!active_) return;
  was_enabled_ = at::autocast::is_autocast_enabled(device_);
  old_dtype_ = at::autocast::get_autocast_dtype(device_);
  at::autocast::increment_nesting();
  at::autocast::set_autocast_dtype(device_, precision == Precision::kBf16 ? at::kBFloat16 : at::kHalf);
  at::autocast::set_autocast_enabled(device_, true);
}

Autocast::~Autocast() {
  if (!active_) return;
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(device_, was_enabled_);
  at::autocast::set_autocast_dtype(device_, old_dtype_);
}

GradientScaler::GradientScaler(torch::Device device, bool active, double initial_scale, int64_t growth_interval)
    : active_(active), growth_interval_(growth_interval) {
  if (!active_) return;
  const auto on_device = torch::TensorOptions().device(device);
  scale_ = torch::full({1}, initial_scale, on_device.dtype(torch::kFloat));
  growth_tracker_ = torch::zeros({1}, on_device.dtype(torch::kInt));
  found_inf_ = torch::zeros({1}, on_device.dtype(torch::kFloat));
}

void GradientScaler::unscale(const std::vector<torch::Tensor>& gradients) {
  if (!active_) return;
  torch::NoGradGuard no_grad;
  found_inf_.zero_();
  // The reciprocal in double: that of a large scale is not exact in float.
  const torch::Tensor inverse = scale_.to(torch::kDouble).reciprocal().to(torch::kFloat);
  at::_amp_foreach_non_finite_check_and_unscale_(gradients, found_inf_, inverse);
}

void GradientScaler::update() {
  if (!active_) return;
  torch::NoGradGuard no_grad;
  at::_amp_update_scale_(scale_, growth_tracker_, found_inf_, kGrowth, kBackoff, growth_interval_);
}

std::vector<torch::Tensor> GradientScaler::tensors() const {
  return active_ ? std::vector<torch::Tensor>{scale_, growth_tracker_, found_inf_} : std::vector<torch::Tensor>{};
}

std::optional<ScalerState> GradientScaler::state() const {
  if (!active_) return std::nullopt;
  return ScalerState{scale_.item<double>(), growth_tracker_.item<int64_t>()};
}

void GradientScaler::load(const ScalerState& state) {
  if (!active_) return;
  scale_.fill_(state.scale);
  growth_tracker_.fill_(state.growth_tracker);
}

}  // namespace imgtrain
