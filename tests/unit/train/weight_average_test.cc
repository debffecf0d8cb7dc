#include "engine/train/weight_average.h"

#include <gtest/gtest.h>

#include "engine/model/weights.h"

namespace imgtrain {
namespace {

ResNet small_model() {
  ResNet model(ResNetOptions{.depth = 18, .num_classes = 3});
  to_channels_last(*model);
  return model;
}

void expect_copies_and_moves(ResNet model) {
  WeightAverage average(model, 0.75);
  EXPECT_TRUE(average.model()->parameters()[0].equal(model->parameters()[0]));
  const torch::Tensor before = model->parameters()[0].detach().clone();
  {
    const torch::NoGradGuard no_grad;
    for (auto& [name, tensor] : state_dict(*model)) tensor.add_(1);
  }
  average.update(EmaRule::Action::kNone);
  EXPECT_TRUE(average.model()->parameters()[0].equal(before));
  average.update(EmaRule::Action::kAverage);
  EXPECT_LT((average.model()->parameters()[0] - before - 0.25).abs().max().item<double>(), 1e-6);
  // Batch-norm statistics move with the weights, counters are copied.
  EXPECT_DOUBLE_EQ(average.model()->named_buffers()["bn1.running_var"][0].item<double>(), 1.25);
  EXPECT_EQ(average.model()->named_buffers()["bn1.num_batches_tracked"].item<int64_t>(), 1);
  average.update(EmaRule::Action::kCopy);
  EXPECT_TRUE(average.model()->parameters()[0].equal(model->parameters()[0]));
}

TEST(WeightAverage, BeginsAsACopyAndMovesByItsDecay) {
  expect_copies_and_moves(small_model());
}

TEST(WeightAverage, IsInDoublePrecisionWhereTheModelIs) {
  ResNet model = small_model();
  to_double(*model);
  EXPECT_EQ(model->named_buffers()["bn1.num_batches_tracked"].scalar_type(), torch::kLong);
  expect_copies_and_moves(model);
}

}  // namespace
}  // namespace imgtrain
