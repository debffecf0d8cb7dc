// The training loss, and the sums from which loss and accuracies of a pass follow.
#pragma once

#include <torch/torch.h>

#include "engine/train/run/metrics.h"
#include "engine/train/run/run_config.h"

namespace imgtrain {

// Cross-entropy with label smoothing, summed over samples (a scalar, float). logits: N x classes of any floating type,
// labels: N, int64, in [0, classes). PyTorch's definition: the smoothed share is spread over all classes, the right one
// included.
torch::Tensor cross_entropy_sum(const torch::Tensor& logits, const torch::Tensor& labels, double label_smoothing);

// Totals that grow on the device without synchronising; read() fetches them.
class DeviceTotals {
 public:
  explicit DeviceTotals(torch::Device device) : sums_(torch::zeros({4}, torch::dtype(torch::kDouble).device(device))) {}

  // `loss_sum` is summed over the samples. With fewer than five classes top-5 means top-classes.
  void add(const torch::Tensor& logits, const torch::Tensor& labels, const torch::Tensor& loss_sum);
  // Sums on the device, to be summed over ranks in place.
  torch::Tensor& sums() { return sums_; }
  void reset() { sums_.zero_(); }
  Totals read() const;  // Synchronises; seconds is 0.
  void load(const Totals& totals);

 private:
  torch::Tensor sums_;  // Loss, top-1, top-5, samples: whole numbers stay exact in a double.
};

}  // namespace imgtrain
