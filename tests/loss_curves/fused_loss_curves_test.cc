// Loss curves of a training with fused kernels and without. Rounding makes any two trainings drift apart. What noise
// is, trainings without fusion say whose first weights differ in their last bits. Those round otherwise once, fused
// ones in every step: "agree" means at most twice as far apart.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <vector>

#include "engine/model/fused_batch_norm.h"
#include "engine/model/resnet.h"
#include "engine/train/training_step.h"
#include "tests/support/emulated_cuda/emulated_kernels.h"

namespace imgtrain {
namespace {

using torch::Tensor;

constexpr int64_t kClasses = 10, kSize = 16, kImages = 256;
constexpr int kSteps = 500, kWindow = 25;

// Images that can be learnt but are not learnt at once: a coarse pattern for each class under noise of its own size.
struct Photographs {
  explicit Photographs(torch::Device device) {
    torch::manual_seed(7);
    const Tensor patterns = torch::nn::functional::interpolate(torch::randn({kClasses, 3, 4, 4}),
                                                               torch::nn::functional::InterpolateFuncOptions()
                                                                   .size(std::vector<int64_t>{kSize, kSize})
                                                                   .mode(torch::kBilinear)
                                                                   .align_corners(false));
    labels = torch::randint(kClasses, {kImages}, torch::kLong);
    const Tensor values = patterns.index_select(0, labels) * 25 + torch::randn({kImages, 3, kSize, kSize}) * 60 + 118;
    images = values.clamp(0, 255).to(torch::kUInt8).permute({0, 2, 3, 1}).contiguous().to(device);
    labels = labels.to(device);
  }
  // The images of an epoch in an order of its own.
  DeviceBatch batch(int64_t count, uint64_t step) const {
    const uint64_t steps = kImages / count;
    torch::manual_seed(1000 + step / steps);
    const Tensor chosen =
        torch::randperm(kImages).narrow(0, static_cast<int64_t>(step % steps) * count, count).to(images.device());
    DeviceBatch batch;
    batch.count = batch.global_count = count;
    batch.labels = labels.index_select(0, chosen);
    batch.images = images.index_select(0, chosen);
    return batch;
  }
  Tensor images, labels;
};

struct Side {
  bool fused = false;
  int last_bits = 0;  // 0: the weights as drawn; otherwise which of their last bits differ.
};

// The mean loss of every kWindow steps.
std::vector<double> loss_curve(const Photographs& data, Precision precision, uint64_t seed, Side side,
                               torch::Device device) {
  RunConfig config;
  config.depth = 18;
  config.batch = config.bn_group = 8;
  config.precision = precision;
  config.fused = side.fused;
  config.label_smoothing = 0.1;
  torch::manual_seed(seed);
  ResNet model(ResNetOptions{.depth = 18, .num_classes = kClasses, .seed = seed});
  if (side.last_bits != 0) {
    const torch::NoGradGuard no_grad;
    torch::manual_seed(static_cast<uint64_t>(side.last_bits));
    for (Tensor& weight : model->parameters()) weight.mul_(1 + (torch::rand(weight.sizes()) - 0.5) * 2.4e-7);
  }
  model->to(device);
  to_channels_last(*model);
  const std::unique_ptr<GradientSync> sync = make_gradient_sync(Launch(), device);
  TrainingStep step(model, config, device, *sync);
  if (side.fused && device.is_cpu()) {
    fuse_batch_norm(*step.model(), kernel_fused_norm(kernels::kEmulatedBatchNorm, torch::kCPU));
  }
  DeviceTotals totals(device);
  std::vector<double> curve;
  for (uint64_t done = 0; done < kSteps; ++done) {
    const double lr =
        0.004 * std::min(1.0, static_cast<double>(done + 1) / 50) * (1 - static_cast<double>(done) / kSteps);
    step.run(data.batch(config.batch, done), {{lr, 0.9}, done, 0}, totals);
    if ((done + 1) % kWindow == 0) {
      const Totals sums = totals.read();
      curve.push_back(sums.loss_sum / static_cast<double>(sums.samples));
      totals.reset();
    }
  }
  return curve;
}

double distance(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return std::sqrt(sum / static_cast<double>(a.size()));
}

void expect_agreement(Precision precision, torch::Device device) {
  const Photographs data(device);
  std::vector<double> noise, found;
  double bias = 0;
  for (const uint64_t seed : {1, 2}) {
    const auto plain = loss_curve(data, precision, seed, {}, device);
    const auto fused = loss_curve(data, precision, seed, {.fused = true}, device);
    ASSERT_LT(plain.back(), 0.7 * plain.front()) << "nothing was learnt: the curves prove nothing";
    found.push_back(distance(fused, plain));
    for (const int last_bits : {1, 2}) {
      noise.push_back(distance(loss_curve(data, precision, seed, {.last_bits = last_bits}, device), plain));
    }
    bias += (std::accumulate(fused.begin(), fused.end(), 0.0) - std::accumulate(plain.begin(), plain.end(), 0.0)) /
            static_cast<double>(plain.size()) / 2;
    std::printf("seed %d: loss %.4f to %.4f, fused to %.4f; apart %.4f, by rounding alone %.4f and %.4f\n",
                static_cast<int>(seed), plain.front(), plain.back(), fused.back(), found.back(),
                noise[noise.size() - 2], noise.back());
    std::fflush(stdout);
  }
  const double most = *std::max_element(noise.begin(), noise.end());
  for (const double one : found) EXPECT_LT(one, 2 * most);
  EXPECT_LT(std::abs(bias), most) << "fused losses are systematically off";
}

TEST(FusedLossCurves, AgreeWithinRoundingsNoiseOver500StepsInFp32) {
  expect_agreement(Precision::kFp32, torch::kCPU);
}

TEST(FusedLossCurves, AgreeWithinRoundingsNoiseOver500StepsInBf16) {
  expect_agreement(Precision::kBf16, torch::kCPU);
}

TEST(FusedLossCurvesOnCuda, AgreeWithinRoundingsNoiseOver500Steps) {
  if (!torch::cuda::is_available()) GTEST_SKIP() << "no CUDA device here";
  const torch::Device device(torch::kCUDA, 0);
  if (device_fused_norm(device) == nullptr) GTEST_SKIP() << "no CUDA kernels for this device";
  for (const Precision precision : {Precision::kFp32, Precision::kBf16, Precision::kFp16}) {
    expect_agreement(precision, device);
  }
}

}  // namespace
}  // namespace imgtrain
