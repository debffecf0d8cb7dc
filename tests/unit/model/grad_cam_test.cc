#include "engine/report/grad_cam.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/support/expect_error.h"

namespace imgtrain {
namespace {

using imgpack::ErrorKind;
using torch::Tensor;

ResNet small_model() {
  ResNetOptions options;
  options.depth = 18;
  options.num_classes = 10;
  ResNet model(options);
  model->eval();
  return model;
}

Tensor images(int64_t n) {
  torch::manual_seed(3);
  return torch::randn({n, 3, 64, 64});
}

TEST(GradCam, MapsHaveTheSizeOfTheImagesAndLieBetweenNoughtAndOne) {
  ResNet model = small_model();
  const Tensor maps = grad_cam(model, images(3), {1, 2, 3});
  EXPECT_EQ(maps.sizes(), (std::vector<int64_t>{3, 64, 64}));
  EXPECT_GE(maps.min().item<float>(), 0);
  EXPECT_LE(maps.max().item<float>(), 1);
}

TEST(GradCam, AnImagesMapDoesNotDependOnTheOthersOfItsBatch) {
  ResNet model = small_model();
  const Tensor batch = images(3), together = grad_cam(model, batch, {1, 2, 3}, "layer3");
  for (int64_t i = 0; i < 3; ++i) {
    const Tensor alone = grad_cam(model, batch.narrow(0, i, 1), {i + 1}, "layer3");
    EXPECT_LT((alone[0] - together[i]).abs().max().item<float>(), 1e-3) << i;
  }
}

TEST(GradCam, WithoutAClassItIsThePredictedOnes) {
  ResNet model = small_model();
  const Tensor batch = images(2);
  std::vector<int64_t> predicted;
  {
    const torch::NoGradGuard no_grad;
    const Tensor highest = model->forward(batch).argmax(1);
    for (int64_t i = 0; i < 2; ++i) predicted.push_back(highest[i].item<int64_t>());
  }
  EXPECT_TRUE(torch::equal(grad_cam(model, batch), grad_cam(model, batch, predicted)));
}

TEST(GradCam, LeavesNoGradientsBehindAndWorksWhereTheCallerSwitchedThemOff) {
  ResNet model = small_model();
  const torch::NoGradGuard no_grad;
  grad_cam(model, images(1));
  for (const Tensor& parameter : model->parameters()) EXPECT_FALSE(parameter.grad().defined());
  EXPECT_FALSE(torch::GradMode::is_enabled());
}

TEST(GradCam, TwoThreadsOnOneModelGetWhatOneGets) {
  ResNet model = small_model();
  const Tensor batch = images(2), expected = grad_cam(model, batch, {4, 5});
  std::vector<Tensor> found(2);
  std::vector<std::thread> threads;
  for (Tensor& maps : found) threads.emplace_back([&] { maps = grad_cam(model, batch, {4, 5}); });
  for (std::thread& thread : threads) thread.join();
  for (const Tensor& maps : found) EXPECT_LT((maps - expected).abs().max().item<float>(), 1e-3);
}

TEST(GradCam, LayersClassesAndCountsThatCannotBeAreUsageErrors) {
  ResNet model = small_model();
  EXPECT_ERROR(grad_cam(model, images(1), {0}, "layer5"), ErrorKind::kUsage,
               "expected one of layer1, layer2, layer3, layer4");
  EXPECT_ERROR(grad_cam(model, images(1), {10}), ErrorKind::kUsage, "expected classes from 0 to 9, found 10");
  EXPECT_ERROR(grad_cam(model, images(2), {1}), ErrorKind::kUsage, "expected a class for each of 2 images, found 1");
  model->train();
  EXPECT_ERROR(grad_cam(model, images(1)), ErrorKind::kInternal, "eval() mode");
}

}  // namespace
}  // namespace imgtrain
