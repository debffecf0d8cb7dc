#include "engine/train/loss.h"

#include <gtest/gtest.h>

namespace imgtrain {
namespace {

TEST(CrossEntropySum, WithSmoothingIsTheDefinition) {
  const torch::Tensor logits = torch::tensor({{1.0f, 2.0f, 0.5f}, {0.0f, -1.0f, 3.0f}});
  const torch::Tensor labels = torch::tensor({1, 0}, torch::kLong);
  const double smoothing = 0.1;
  const torch::Tensor log_p = logits.to(torch::kDouble).log_softmax(1);
  double expected = 0;
  for (int64_t row = 0; row < 2; ++row) {
    for (int64_t k = 0; k < 3; ++k) {
      const double target = smoothing / 3 + (labels[row].item<int64_t>() == k ? 1 - smoothing : 0);
      expected -= target * log_p[row][k].item<double>();
    }
  }
  EXPECT_NEAR(cross_entropy_sum(logits, labels, smoothing).item<double>(), expected, 1e-6);
}

TEST(CrossEntropySum, OfPartsAddsUpToThatOfTheWhole) {
  torch::manual_seed(0);
  const torch::Tensor logits = torch::randn({6, 10}), labels = torch::randint(10, {6}, torch::kLong);
  const double whole = cross_entropy_sum(logits, labels, 0.1).item<double>();
  const double parts = cross_entropy_sum(logits.narrow(0, 0, 4), labels.narrow(0, 0, 4), 0.1).item<double>() +
                       cross_entropy_sum(logits.narrow(0, 4, 2), labels.narrow(0, 4, 2), 0.1).item<double>();
  EXPECT_NEAR(whole, parts, 1e-5);
}

TEST(DeviceTotals, CountsHitsAmongOneAndFive) {
  // Class k has logit k: the five highest of ten are 9, 8, 7, 6, 5.
  const torch::Tensor logits = torch::arange(10, torch::kFloat).repeat({4, 1});
  const torch::Tensor labels = torch::tensor({9, 5, 4, 8}, torch::kLong);
  DeviceTotals totals(torch::kCPU);
  totals.add(logits, labels, torch::tensor(2.5));
  totals.add(logits, labels, torch::tensor(1.5));
  EXPECT_EQ(totals.read(), (Totals{4.0, 2, 6, 8, 0}));
}

TEST(DeviceTotals, WithFewClassesTopFiveIsAllOfThem) {
  DeviceTotals totals(torch::kCPU);
  totals.add(torch::randn({3, 2}), torch::zeros({3}, torch::kLong), torch::tensor(1.0));
  EXPECT_EQ(totals.read().top5, 3u);
}

TEST(DeviceTotals, ContinuesFromStoredTotalsExactly) {
  DeviceTotals totals(torch::kCPU);
  totals.load({0.1, 1, 2, 1281166, 99});
  totals.add(torch::randn({1, 2}), torch::zeros({1}, torch::kLong), torch::tensor(0.25, torch::kDouble));
  const Totals read = totals.read();
  EXPECT_EQ(read.loss_sum, 0.1 + 0.25);
  EXPECT_EQ(read.samples, 1281167u);
}

}  // namespace
}  // namespace imgtrain
