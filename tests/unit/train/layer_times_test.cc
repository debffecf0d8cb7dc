#include "engine/train/layer_times.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <stdexcept>

#include "engine/model/fused_batch_norm.h"
#include "engine/model/portable/summary.h"
#include "engine/model/resnet.h"
#include "tests/support/emulated_cuda/emulated_kernels.h"

namespace imgtrain {
namespace {

using torch::Tensor;

ResNet network(int depth, Stem stem = Stem::kPlain) {
  ResNetOptions options;
  options.depth = depth;
  options.num_classes = 10;
  options.stem = stem;
  ResNet model(options);
  to_channels_last(*model);
  return model;
}

constexpr int64_t kImages = 2, kSize = 64;

void step(ResNet& model, LayerTimes& times, int passes = 1) {
  times.begin_step();
  for (int pass = 0; pass < passes; ++pass)
    model->forward(torch::randn({kImages, 3, kSize, kSize}).contiguous(at::MemoryFormat::ChannelsLast))
        .sum()
        .backward();
  times.end_step();
}

const ProfiledLayer& layer(const std::vector<ProfiledLayer>& layers, const std::string& name) {
  const auto at = std::find_if(layers.begin(), layers.end(), [&](const auto& l) { return l.name == name; });
  if (at == layers.end()) throw std::runtime_error("no layer " + name);
  return *at;
}

TEST(LayerTimes, EveryConvolutionNormAndPoolIsThereOnceInOrderWithItsTimes) {
  ResNet model = network(18);
  LayerTimes times(*model, torch::kCPU);
  step(model, times);
  step(model, times);
  const auto layers = times.layers();
  // 20 convolutions, 20 norms, 2 poolings, the classifier.
  ASSERT_EQ(layers.size(), 43u);
  EXPECT_EQ(layers.front().name, "conv1");
  EXPECT_EQ(layers.back().name, "fc");
  EXPECT_FALSE(times.fused());
  for (const ProfiledLayer& l : layers) {
    EXPECT_GT(l.forward.seconds, 0) << l.name;
    EXPECT_GT(l.backward.seconds, 0) << l.name;
    EXPECT_EQ(l.calls, 1) << l.name;
  }
  EXPECT_EQ(layer(layers, "layer2.0.conv1").shape, "128x8x8");
  EXPECT_EQ(layer(layers, "layer2.0.downsample.1").kind, "batch norm");
  EXPECT_EQ(layer(layers, "layer1.0.bn1").kind, "batch norm + ReLU");
  EXPECT_EQ(layer(layers, "layer1.0.bn2").kind, "batch norm + add + ReLU");
  EXPECT_EQ(layer(layers, "layer2.0.conv1").kind, "convolution 3x3");
}

TEST(LayerTimes, OperationsAreThoseThatTheSummaryCounts) {
  for (const int depth : {18, 50}) {
    for (const Stem stem : {Stem::kPlain, Stem::kDeep}) {
      ResNet model = network(depth, stem);
      LayerTimes times(*model, torch::kCPU);
      step(model, times);
      const ModelSummary summary = summarize(model->options(), kSize, kSize);
      double forward = 0, backward = 0, first = 0;
      for (const ProfiledLayer& l : times.layers()) {
        forward += l.forward.flops;
        backward += l.backward.flops;
        if (l.name.starts_with("conv1") && first == 0) first = l.forward.flops;
      }
      EXPECT_DOUBLE_EQ(forward, 2.0 * kImages * static_cast<double>(summary.macs));
      // Images need no gradient.
      EXPECT_DOUBLE_EQ(backward, 2 * forward - first);
    }
  }
}

TEST(LayerTimes, FusedNormsMoveFewerBytes) {
  const double map = kImages * 64.0 * 16 * 16 * 4;
  for (const bool fused : {false, true}) {
    ResNet model = network(18);
    if (fused) fuse_batch_norm(*model, kernel_fused_norm(kernels::kEmulatedBatchNorm, torch::kCPU));
    LayerTimes times(*model, torch::kCPU);
    step(model, times);
    const auto layers = times.layers();
    EXPECT_EQ(times.fused(), fused);
    EXPECT_EQ(layer(layers, "layer1.0.bn1").forward.bytes, (fused ? 3 : 5) * map);
    EXPECT_EQ(layer(layers, "layer1.0.bn1").backward.bytes, (fused ? 5 : 8) * map);
    EXPECT_EQ(layer(layers, "layer1.0.bn2").forward.bytes, fused ? 4 * map + map / 32 : 8 * map);
    // Two blocks read its result, whose gradients a fused norm adds.
    EXPECT_EQ(layer(layers, "layer1.0.bn2").backward.bytes, fused ? 7 * map + map / 32 : 8 * map);
    EXPECT_EQ(layer(layers, "layer4.1.bn2").backward.bytes, fused ? (6 * map + map / 32) / 8 : map);
    // Half the elements; a shortcut's norm is computed with the branch's.
    const ProfiledLayer& second = layer(layers, "layer2.0.bn2");
    EXPECT_EQ(second.kind, fused ? "two batch norms + add + ReLU" : "batch norm + add + ReLU");
    EXPECT_EQ(second.forward.bytes, fused ? (5 * map + map / 32) / 2 : 8 * map / 2);
    EXPECT_EQ(second.backward.bytes, fused ? (11 * map + map / 32) / 2 : 8 * map / 2);
    const bool apart =
        std::any_of(layers.begin(), layers.end(), [](const auto& l) { return l.name == "layer2.0.downsample.1"; });
    EXPECT_EQ(apart, !fused);
    if (apart) {
      EXPECT_EQ(layer(layers, "layer2.0.downsample.1").forward.bytes, 3 * map / 2);
    }
  }
}

TEST(LayerTimes, SeveralGroupsOfAStepAddUp) {
  ResNet model = network(18);
  LayerTimes times(*model, torch::kCPU);
  for (int i = 0; i < 2; ++i) step(model, times, /*passes=*/3);
  LayerTimes once(*model, torch::kCPU);
  step(model, once);
  const auto many = times.layers(), one = once.layers();
  EXPECT_EQ(layer(many, "conv1").calls, 3);
  EXPECT_DOUBLE_EQ(layer(many, "conv1").forward.bytes, 3 * layer(one, "conv1").forward.bytes);
}

TEST(LayerTimes, NobodyIsObservedOutsideOfSteps) {
  ResNet model = network(18);
  LayerTimes times(*model, torch::kCPU);
  step(model, times);
  model->forward(torch::randn({kImages, 3, kSize, kSize})).sum().backward();
  EXPECT_EQ(layer(times.layers(), "conv1").calls, 1);
}

TEST(LayerTimes, ObservingChangesNoResult) {
  ResNet seen = network(18), unseen = network(18);
  const Tensor images = torch::randn({kImages, 3, kSize, kSize});
  LayerTimes times(*seen, torch::kCPU);
  times.begin_step();
  seen->forward(images).sum().backward();
  times.end_step();
  unseen->forward(images).sum().backward();
  const auto a = seen->parameters(), b = unseen->parameters();
  for (size_t i = 0; i < a.size(); ++i) ASSERT_TRUE(a[i].grad().equal(b[i].grad())) << i;
}

}  // namespace
}  // namespace imgtrain
