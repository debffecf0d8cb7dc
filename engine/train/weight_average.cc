#include "engine/train/weight_average.h"

#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_foreach_lerp.h>

#include "engine/model/weights.h"

namespace imgtrain {

WeightAverage::WeightAverage(ResNet model, double decay) : average_(model->options()), decay_(decay) {
  const torch::Tensor first = model->parameters().front();
  average_->to(first.device());
  if (first.scalar_type() == torch::kDouble) to_double(*average_);
  to_channels_last(*average_);
  const NamedTensors source = state_dict(*model), target = state_dict(*average_);
  for (size_t i = 0; i < source.size(); ++i) {
    const bool number = source[i].second.is_floating_point();
    (number ? source_ : source_counts_).push_back(source[i].second);
    (number ? target_ : target_counts_).push_back(target[i].second);
  }
  update(EmaRule::Action::kCopy);
}

void WeightAverage::update(EmaRule::Action action) {
  if (action == EmaRule::Action::kNone) return;
  const torch::NoGradGuard no_grad;
  at::_foreach_copy_(target_counts_, source_counts_);
  if (action == EmaRule::Action::kCopy) {
    at::_foreach_copy_(target_, source_);
  } else {
    at::_foreach_lerp_(target_, source_, 1 - decay_);
  }
}

}  // namespace imgtrain
