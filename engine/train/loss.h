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

// The loss that the configuration trains with, summed over samples (a scalar, float or double).
// targets: labels as above, or N x classes of shares that add up to 1 in every row (mixed images). Smoothing s makes a
// target t into t (1 - s) + s / classes, before any threshold.
//   cross-entropy  as above
//   bce            binary cross-entropy of every class; over classes the mean (timm's BinaryCrossEntropy) or the sum
//                  (Composer's binary_cross_entropy_with_logits); with bce_threshold targets become 0 or 1 first
torch::Tensor training_loss_sum(const torch::Tensor& logits, const torch::Tensor& targets, const RunConfig& config);

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
