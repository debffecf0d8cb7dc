// WeightAverage: a second model that follows the trained one as its moving average; what is evaluated and saved in the
// end. When it moves and how far is EmaRule's decision (engine/train/run/ema_rule.h).
#pragma once

#include <torch/torch.h>

#include <vector>

#include "engine/model/resnet.h"
#include "engine/train/run/ema_rule.h"

namespace imgtrain {

// One thread. REQUIRES: the model outlives it and is on its device in its memory format when it is made.
class WeightAverage {
 public:
  // Begins as a copy. `decay`: EmaRule's.
  WeightAverage(ResNet model, double decay);

  // Moves parameters and batch-norm statistics; counters are copied.
  void update(EmaRule::Action action);
  ResNet& model() { return average_; }
  // All that moves, counters apart.
  const std::vector<torch::Tensor>& tensors() const { return target_; }

 private:
  ResNet average_;
  double decay_;
  std::vector<torch::Tensor> source_, target_;  // Floating-point tensors.
  std::vector<torch::Tensor> source_counts_, target_counts_;
};

}  // namespace imgtrain
