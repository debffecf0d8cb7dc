#include "engine/train/loss.h"

#include <ATen/core/Reduction.h>

#include <algorithm>

namespace imgtrain {

using torch::Tensor;

Tensor cross_entropy_sum(const Tensor& logits, const Tensor& labels, double label_smoothing) {
  return at::cross_entropy_loss(logits.to(torch::kFloat), labels, {}, at::Reduction::Sum, /*ignore_index=*/-100,
                                label_smoothing);
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
