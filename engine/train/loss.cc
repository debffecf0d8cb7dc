#include "engine/train/loss.h"

#include <ATen/core/Reduction.h>

#include <algorithm>

namespace imgtrain {

using torch::Tensor;

namespace {

// Losses are computed in single precision at least.
Tensor at_least_float(const Tensor& logits) {
  return logits.scalar_type() == torch::kDouble ? logits : logits.to(torch::kFloat);
}

}  // namespace

Tensor cross_entropy_sum(const Tensor& logits, const Tensor& labels, double label_smoothing) {
  return at::cross_entropy_loss(at_least_float(logits), labels, {}, at::Reduction::Sum, /*ignore_index=*/-100,
                                label_smoothing);
}

Tensor training_loss_sum(const Tensor& logits, const Tensor& targets, const RunConfig& config) {
  const Tensor scores = at_least_float(logits);
  const bool labels = targets.scalar_type() == torch::kLong;
  if (config.loss == LossKind::kCrossEntropy)
    return cross_entropy_sum(scores, labels ? targets : targets.to(scores.scalar_type()), config.label_smoothing);
  const int64_t classes = scores.size(1);
  Tensor shares = (labels ? torch::one_hot(targets, classes) : targets).to(scores.scalar_type());
  if (config.label_smoothing > 0)
    shares = shares * (1 - config.label_smoothing) + config.label_smoothing / static_cast<double>(classes);
  if (config.bce_threshold > 0) shares = shares.gt(config.bce_threshold).to(scores.scalar_type());
  const Tensor sum = at::binary_cross_entropy_with_logits(scores, shares, {}, {}, at::Reduction::Sum);
  return config.bce_reduction == ClassReduction::kMean ? sum / static_cast<double>(classes) : sum;
}

void DeviceTotals::add(const Tensor& logits, const Tensor& labels, const Tensor& loss_sum) {
  torch::NoGradGuard no_grad;
  const int64_t k = std::min<int64_t>(5, logits.size(1));
  const Tensor highest = std::get<1>(logits.detach().topk(k, /*dim=*/1));
  const Tensor hits = highest.eq(labels.unsqueeze(1));
  const Tensor count = torch::full({}, static_cast<double>(labels.size(0)), sums_.options());
  sums_.add_(torch::stack({loss_sum.detach().to(torch::kDouble), hits.select(1, 0).sum().to(torch::kDouble),
                           hits.sum().to(torch::kDouble), count}));
}

Totals DeviceTotals::read() const {
  const Tensor host = sums_.cpu();
  const double* values = host.const_data_ptr<double>();
  return {values[0], static_cast<uint64_t>(values[1]), static_cast<uint64_t>(values[2]),
          static_cast<uint64_t>(values[3]), 0};
}

void DeviceTotals::load(const Totals& totals) {
  sums_.copy_(torch::tensor({totals.loss_sum, static_cast<double>(totals.top1), static_cast<double>(totals.top5),
                             static_cast<double>(totals.samples)},
                            torch::kDouble));
}

}  // namespace imgtrain
