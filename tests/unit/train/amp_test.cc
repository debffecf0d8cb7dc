#include "engine/train/amp.h"

#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>

namespace imgtrain {
namespace {

std::vector<torch::Device> devices() {
  std::vector<torch::Device> list = {torch::Device(torch::kCPU)};
  if (torch::cuda::is_available()) list.emplace_back(torch::kCUDA, 0);
  return list;
}

TEST(Autocast, LowersMatrixProductsInsideAndRestoresEverythingOutside) {
  const torch::Tensor a = torch::randn({4, 4}), b = torch::randn({4, 4});
  {
    const Autocast outer(torch::kCPU, Precision::kBf16);
    EXPECT_EQ(a.mm(b).scalar_type(), torch::kBFloat16);
    {
      const Autocast inner(torch::kCPU, Precision::kFp32);
      EXPECT_EQ(a.mm(b).scalar_type(), torch::kBFloat16) << "fp32 leaves an outer scope as it is";
    }
  }
  EXPECT_FALSE(at::autocast::is_autocast_enabled(at::kCPU));
  EXPECT_EQ(a.mm(b).scalar_type(), torch::kFloat);
}

TEST(Autocast, ForgetsConvertedWeightsSoThatAnUpdateIsSeen) {
  torch::Tensor weight = torch::ones({2, 2}, torch::requires_grad());
  const torch::Tensor x = torch::ones({2, 2});
  const auto product = [&] {
    const Autocast scope(torch::kCPU, Precision::kBf16);
    return x.mm(weight)[0][0].item<float>();
  };
  EXPECT_EQ(product(), 2.0f);
  {
    const torch::NoGradGuard no_grad;
    weight.mul_(3);
  }
  EXPECT_EQ(product(), 6.0f);
}

TEST(GradientScaler, GoodStepsUnscaleAndDoubleTheScaleAfterTheInterval) {
  for (const torch::Device device : devices()) {
    GradientScaler scaler(device, true, 8, 2);
    for (int step = 0; step < 2; ++step) {
      torch::Tensor gradient = torch::full({3}, 16.0f, torch::device(device));
      scaler.unscale({gradient});
      EXPECT_EQ(gradient[0].item<float>(), 2.0f);
      EXPECT_EQ(scaler.found_inf().item<float>(), 0.0f);
      scaler.update();
    }
    EXPECT_EQ(scaler.state(), (ScalerState{16, 0}));
  }
}

TEST(GradientScaler, OverflowIsFoundHalvesTheScaleAndStartsCountingAgain) {
  for (const torch::Device device : devices()) {
    for (const float bad : {INFINITY, -INFINITY, NAN}) {
      GradientScaler scaler(device, true, 1024, 3);
      torch::Tensor good = torch::ones({2}, torch::device(device));
      scaler.unscale({good});
      scaler.update();
      EXPECT_EQ(scaler.state(), (ScalerState{1024, 1}));
      torch::Tensor gradient = torch::ones({3}, torch::device(device));
      gradient[1].fill_(bad);
      scaler.unscale({torch::ones({2}, torch::device(device)), gradient});
      EXPECT_EQ(scaler.found_inf().item<float>(), 1.0f);
      scaler.update();
      EXPECT_EQ(scaler.state(), (ScalerState{512, 0}));
    }
  }
}

TEST(GradientScaler, StateContinuesWhereItWas) {
  GradientScaler first(torch::kCPU, true, 4, 2), second(torch::kCPU, true, 65536, 2);
  first.unscale({torch::ones({1})});
  first.update();
  second.load(*first.state());
  for (GradientScaler* scaler : {&first, &second}) {
    scaler->unscale({torch::ones({1})});
    scaler->update();
  }
  EXPECT_EQ(first.state(), second.state());
  EXPECT_EQ(second.state()->scale, 8);
}

TEST(GradientScaler, InactiveChangesNothing) {
  GradientScaler scaler(torch::kCPU, false, 65536, 2000);
  const torch::Tensor loss = torch::ones({});
  EXPECT_TRUE(scaler.scaled(loss).is_same(loss));
  torch::Tensor gradient = torch::full({1}, INFINITY);
  scaler.unscale({gradient});
  scaler.update();
  EXPECT_FALSE(scaler.found_inf().defined());
  EXPECT_FALSE(scaler.state());
}

}  // namespace
}  // namespace imgtrain
