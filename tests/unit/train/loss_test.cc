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

RunConfig bce(double smoothing, double threshold, ClassReduction reduction) {
  RunConfig config;
  config.loss = LossKind::kBinaryCrossEntropy;
  config.label_smoothing = smoothing;
  config.bce_threshold = threshold;
  config.bce_reduction = reduction;
  return config;
}

TEST(TrainingLoss, MixedTargetsGiveTheMixtureOfBothLosses) {
  torch::manual_seed(2);
  const torch::Tensor logits = torch::randn({6, 5}), one = torch::randint(5, {6}), two = torch::randint(5, {6});
  RunConfig config;
  config.label_smoothing = 0.1;
  const torch::Tensor mixed = 0.3 * torch::one_hot(one, 5) + 0.7 * torch::one_hot(two, 5);
  const double expected = 0.3 * cross_entropy_sum(logits, one, 0.1).item<double>() +
                          0.7 * cross_entropy_sum(logits, two, 0.1).item<double>();
  EXPECT_NEAR(training_loss_sum(logits, mixed, config).item<double>(), expected, 1e-5);
  EXPECT_EQ(training_loss_sum(logits, one, config).item<double>(), cross_entropy_sum(logits, one, 0.1).item<double>());
}

TEST(TrainingLoss, BinaryCrossEntropyIsThatOfEveryClass) {
  torch::manual_seed(3);
  const torch::Tensor logits = torch::randn({4, 7}), labels = torch::randint(7, {4});
  const torch::Tensor targets = torch::one_hot(labels, 7).to(torch::kFloat) * 0.9 + 0.1 / 7;
  const double sum =
      -(targets * torch::log_sigmoid(logits) + (1 - targets) * torch::log_sigmoid(-logits)).sum().item<double>();
  EXPECT_NEAR(training_loss_sum(logits, labels, bce(0.1, 0, ClassReduction::kSum)).item<double>(), sum, 1e-4);
  EXPECT_NEAR(training_loss_sum(logits, labels, bce(0.1, 0, ClassReduction::kMean)).item<double>(), sum / 7, 1e-5);
}

TEST(TrainingLoss, ThresholdMakesMixedTargetsWhole) {
  torch::manual_seed(4);
  const torch::Tensor logits = torch::randn({1, 3}), mixed = torch::tensor({{0.75, 0.25, 0.0}});
  const torch::Tensor both = torch::tensor({{1.0, 1.0, 0.0}}), larger = torch::tensor({{1.0, 0.0, 0.0}});
  const RunConfig plain = bce(0, 0, ClassReduction::kSum);
  const auto loss = [&](const torch::Tensor& targets, const RunConfig& config) {
    return training_loss_sum(logits, targets, config).item<double>();
  };
  EXPECT_EQ(loss(mixed, bce(0, 0.2, ClassReduction::kSum)), loss(both, plain));
  EXPECT_EQ(loss(mixed, bce(0, 0.5, ClassReduction::kSum)), loss(larger, plain));
}

}  // namespace
}  // namespace imgtrain
