// Mixed precision: autocast for the forward pass, and a gradient scaler for fp16, which libtorch does not have in C++.
//
//   { Autocast scope; logits = model(x) }  loss.backward()  scaler.unscale(gradients)  optimizer.step(found_inf)
//   scaler.update()
#pragma once

#include <torch/torch.h>

#include <vector>

#include "engine/train/run/run_config.h"
#include "engine/train/run/run_state.h"

namespace imgtrain {

// Autocast on this thread while it lives; fp32 and fp64 do nothing. Leave the scope before backward(), which runs in
// the precision that each operation recorded. On the way out the cache of converted weights is dropped: the optimizer
// is about to change what they were made from.
class Autocast {
 public:
  Autocast(torch::DeviceType device, Precision precision);
  ~Autocast();
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  torch::DeviceType device_;
  bool active_;
  bool was_enabled_ = false;
  at::ScalarType old_dtype_ = at::kFloat;
};

// Loss scaling as torch.amp.GradScaler does it: gradients of a loss multiplied by `scale`; a step with an infinite or
// NaN gradient is skipped and halves the scale, `growth_interval` good steps in a row double it. Everything stays on
// the device: no host synchronisation. Inactive for fp32 and bf16, whose range needs none: then found_inf() is
// undefined.
class GradientScaler {
 public:
  GradientScaler(torch::Device device, bool active, double initial_scale, int64_t growth_interval);

  bool active() const { return active_; }
  torch::Tensor scaled(const torch::Tensor& loss) const { return active_ ? loss * scale_ : loss; }
  // Divides the gradients by the scale and notes whether any of them is not finite. Call after gradients have been
  // summed over ranks, so that every rank takes the same decision.
  void unscale(const std::vector<torch::Tensor>& gradients);
  // 1-element float tensor: 1 where the optimizer must skip this step. Undefined while inactive.
  const torch::Tensor& found_inf() const { return found_inf_; }
  void update();

  // Scale, steps towards its growth, found_inf(); none while inactive.
  std::vector<torch::Tensor> tensors() const;

  std::optional<ScalerState> state() const;  // Synchronises. nullopt while inactive.
  void load(const ScalerState& state);

 private:
  bool active_;
  int64_t growth_interval_;
  torch::Tensor scale_, growth_tracker_, found_inf_;
};

}  // namespace imgtrain
