#include "engine/train/run/image_size_schedule.h"

#include <gtest/gtest.h>

namespace imgtrain {
namespace {

RunConfig growing(int64_t from, int64_t to, double begin, double end, int64_t multiple, Progression by) {
  RunConfig config;
  config.train_size = to;
  config.progressive_size = from;
  config.progressive_begin = begin;
  config.progressive_end = end;
  config.progressive_multiple = multiple;
  config.progressive_by = by;
  return config;
}

TEST(ImageSizeSchedule, WithoutProgressionEveryStepHasTheFullSize) {
  const ImageSizeSchedule sizes(RunConfig(), 10, 100);
  EXPECT_EQ(sizes.decoded(0), 224u);
  EXPECT_EQ(sizes.trained(99), 224u);
}

TEST(ImageSizeSchedule, ByDecodeSizesBelongToEpochsAndReachTheNetworkAsDecoded) {
  const ImageSizeSchedule sizes(growing(160, 192, 11.0 / 16, 13.0 / 16, 32, Progression::kDecode), 10, 160);
  for (uint64_t epoch = 0; epoch < 16; ++epoch) {
    EXPECT_EQ(sizes.decoded(epoch), epoch < 12 ? 160u : 192u) << epoch;  // Python rounds 5.5 to even.
    EXPECT_EQ(sizes.trained(epoch * 10 + 9), sizes.decoded(epoch)) << epoch;
  }
}

TEST(ImageSizeSchedule, ByShrinkSizesBelongToStepsAndTheInputSideDecodesTheFullSize) {
  const ImageSizeSchedule sizes(growing(88, 176, 0.4, 0.8, 4, Progression::kShrink), 10, 100);
  EXPECT_EQ(sizes.decoded(0), 176u);
  EXPECT_EQ(sizes.trained(0), 88u);
  EXPECT_EQ(sizes.trained(40), 88u);
  EXPECT_EQ(sizes.trained(60), 132u);
  EXPECT_EQ(sizes.trained(80), 176u);
  EXPECT_EQ(sizes.trained(99), 176u);
  for (uint64_t step = 1; step < 100; ++step) {
    EXPECT_GE(sizes.trained(step), sizes.trained(step - 1));
    EXPECT_EQ(sizes.trained(step) % 4, 0u);
  }
}

}  // namespace
}  // namespace imgtrain
