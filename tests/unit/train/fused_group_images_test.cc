// The input kernel, through tests/support/emulated_cuda, against the operations that it replaces.
#include "engine/train/fused_group_images.h"

#include <gtest/gtest.h>

#include <vector>

#include "engine/model/device_stream.h"
#include "engine/train/group_input.h"
#include "tests/support/emulated_cuda/emulated_kernels.h"

namespace imgtrain {
namespace {

using torch::Tensor;

struct Setting {
  double mixup = 0, cutmix = 0, erase = 0;
  uint32_t size = 0;
};

// A group of a batch both ways.
struct BothWays {
  GroupInput separate, fused;

  BothWays(const Setting& setting, Precision precision, int64_t side, uint64_t step) {
    torch::manual_seed(4);
    DeviceBatch batch;
    batch.count = batch.global_count = 12;
    batch.images = torch::randint(256, {12, side, side, 3}, torch::kUInt8);
    batch.labels = torch::arange(12, torch::kLong) % 7;
    std::vector<data::BlankBoxes> blanks(12);
    for (int i = 0; i < 12; i += 2) blanks[static_cast<size_t>(i)] = {{i, 3, 5, 7}, {0, i, 9, 2}};
    batch.blanks = blanks.data();
    RunConfig config;
    config.bn_group = 6;
    config.precision = precision;
    config.mixup = setting.mixup;
    config.cutmix = setting.cutmix;
    config.erase = setting.erase;
    PixelNormalizer normalizer(torch::kCPU);
    separate = make_group_input(batch, 6, 6, config, normalizer, setting.size, step, 7);
    fused = make_group_input(batch, 6, 6, config, normalizer, setting.size, step, 7, kernels::emulate_group_images);
  }
};

const Setting kSettings[] = {{},
                             {.erase = 0.25},
                             {.mixup = 0.2, .erase = 0.25},
                             {.cutmix = 1},
                             {.mixup = 0.4, .cutmix = 1, .erase = 0.25},
                             {.mixup = 0.2, .erase = 0.25, .size = 16},
                             {.cutmix = 1, .size = 20}};

TEST(FusedGroupImages, AreTheSeparateOperationsImages) {
  for (const Setting& setting : kSettings) {
    for (uint64_t step = 0; step < 3; ++step) {
      const BothWays got(setting, Precision::kFp32, 32, step);
      ASSERT_EQ(got.fused.images.sizes(), got.separate.images.sizes());
      EXPECT_EQ(got.fused.images.scalar_type(), torch::kFloat);
      EXPECT_TRUE(got.fused.images.is_contiguous(at::MemoryFormat::ChannelsLast));
      // One rounding instead of two where the separate operations do not fuse the multiplication and the addition.
      EXPECT_LE((got.fused.images - got.separate.images).abs().max().item<double>(), 1e-6);
      EXPECT_TRUE(got.fused.targets.equal(got.separate.targets));
      EXPECT_TRUE(got.fused.labels.equal(got.separate.labels));
    }
  }
}

TEST(FusedGroupImages, InHalfPrecisionAreRoundedOnceFromFloat) {
  const std::pair<Precision, at::ScalarType> types[] = {{Precision::kBf16, at::kBFloat16},
                                                        {Precision::kFp16, at::kHalf}};
  for (const Setting& setting : kSettings) {
    const BothWays exact(setting, Precision::kFp32, 30, 1);
    for (const auto& [precision, type] : types) {
      const BothWays got(setting, precision, 30, 1);
      EXPECT_TRUE(got.fused.images.equal(exact.fused.images.to(type)));
      EXPECT_EQ(got.fused.targets.scalar_type(), exact.fused.targets.scalar_type());
      EXPECT_TRUE(got.fused.targets.equal(exact.fused.targets));
    }
  }
}

TEST(FusedGroupImages, ShrinkAsNearestInterpolationDoesForManySizes) {
  for (const int64_t side : {31, 32, 47, 64}) {
    for (const uint32_t size : {9u, 16u, 23u, 30u}) {
      const BothWays got({.size = size}, Precision::kFp32, side, 0);
      ASSERT_EQ(got.fused.images.sizes(), got.separate.images.sizes()) << side << " to " << size;
      EXPECT_LE((got.fused.images - got.separate.images).abs().max().item<double>(), 1e-6) << side << " to " << size;
    }
  }
}

TEST(FusedGroupImages, AreForDevicesAndNumbersThatTheKernelHas) {
  RunConfig config;
  EXPECT_EQ(group_images_launcher(config, torch::kCPU), nullptr);
  if (!torch::cuda::is_available()) return;
  const torch::Device cuda(torch::kCUDA, 0);
  EXPECT_EQ(group_images_launcher(config, cuda) != nullptr, has_kernels_for(cuda));
  config.precision = Precision::kFp64;
  EXPECT_EQ(group_images_launcher(config, cuda), nullptr);
  config.precision = Precision::kBf16;
  config.fused = false;
  EXPECT_EQ(group_images_launcher(config, cuda), nullptr);
}

TEST(FusedGroupImagesOnCuda, AreTheSeparateOperationsImages) {
  if (!torch::cuda::is_available()) GTEST_SKIP() << "no CUDA device";
  RunConfig config;
  config.precision = Precision::kFp32;
  const auto launcher = group_images_launcher(config, torch::Device(torch::kCUDA, 0));
  if (launcher == nullptr) GTEST_SKIP() << "no CUDA kernels for this device";
  const Tensor bytes =
      torch::randint(256, {6, 32, 32, 3}, torch::TensorOptions().dtype(torch::kUInt8).device(torch::kCUDA));
  PixelNormalizer normalizer(torch::kCUDA);
  const Tensor images = fused_group_images(launcher, bytes, nullptr, {}, 32, Precision::kFp32);
  EXPECT_LE((images - normalizer(bytes)).abs().max().item<double>(), 1e-6);
}

kernels::KernelStatus forgets_the_mean(const kernels::GroupImages& given, kernels::Stream stream) {
  kernels::GroupImages a = given;
  a.shift[1] = 0;
  return kernels::emulate_group_images(a, stream);
}

kernels::KernelStatus refused(const kernels::GroupImages&, kernels::Stream) {
  return {"no kernel image is available"};
}

TEST(FusedGroupImages, ATrialOnTheDeviceFindsAKernelRightWrongOrRefused) {
  EXPECT_EQ(disagreement(kernels::emulate_group_images, torch::kCPU), "");
  EXPECT_NE(disagreement(forgets_the_mean, torch::kCPU).find("normalised images"), std::string::npos);
  EXPECT_NE(disagreement(refused, torch::kCPU).find("no kernel image is available"), std::string::npos);
}

}  // namespace
}  // namespace imgtrain
