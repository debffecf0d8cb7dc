#include "engine/train/run/bottleneck.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/data/synthetic_split.h"

namespace imgtrain {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

EpochTiming timing(double wait_for_batch, double decode, double wait_for_read = 0) {
  EpochTiming timing;
  timing.seconds = 10;
  timing.images = 1000;
  timing.input_threads = 2;
  timing.cores = 2;
  timing.stages.wait_for_batch = wait_for_batch;
  timing.stages.decode = decode;
  timing.stages.wait_for_read = wait_for_read;
  timing.stages.bytes_read = 100 << 20;
  timing.stages.read = 1;
  timing.stages.fast_path = 1000;
  return timing;
}

TEST(Bottleneck, LittleWaitingIsComputeBound) {
  EXPECT_THAT(bottleneck_sentence(timing(0.1, 4)),
              AllOf(HasSubstr("compute-bound"), HasSubstr("waited 1 % of the time"), HasSubstr("0.4 of 2 cores"),
                    HasSubstr("4.00 ms an image"), HasSubstr("5.0x the rate")));
}

TEST(Bottleneck, WaitingForBusyDecodersIsDecodeBoundWithTheCoresItTakes) {
  // 20 core-seconds for 1,000 images; the model alone would do them in 5 s: 4 cores.
  EXPECT_THAT(bottleneck_sentence(timing(5, 20)),
              AllOf(HasSubstr("decode-bound"), HasSubstr("waited 50 %"), HasSubstr("4.0 cores needed, 2 present"),
                    Not(HasSubstr("--input-threads")), Not(HasSubstr("repacking"))));
}

TEST(Bottleneck, CoresThatAreIdleAreNamed) {
  EpochTiming idle = timing(5, 20);
  idle.cores = 8;
  EXPECT_THAT(bottleneck_sentence(idle), HasSubstr("--input-threads 4 would do"));
}

TEST(Bottleneck, RepackingIsNamedWithWhatItGives) {
  EpochTiming large = timing(5, 20);
  large.repack = {0.47, 1.6};
  EXPECT_THAT(bottleneck_sentence(large),
              HasSubstr("repacking with --resize-max 500 --reencode-probability 1 gives about 1.6x"));
  large = timing(5, 2, 4);
  large.repack = {0.47, 1.6};
  EXPECT_THAT(bottleneck_sentence(large), HasSubstr("needs about 0.47 of the bytes"));
}

TEST(Bottleneck, ManyImagesOnTheReferencePathAreNamed) {
  EpochTiming slow = timing(5, 20);
  slow.stages.reference_path = 1000;
  EXPECT_THAT(bottleneck_sentence(slow), HasSubstr("50 % of the images have no entropy index"));
}

TEST(Bottleneck, DecodersWaitingForTheDiskIsReadBoundWithTheRateItTakes) {
  EXPECT_THAT(bottleneck_sentence(timing(5, 2, 4)),
              AllOf(HasSubstr("read-bound"), HasSubstr("20 MiB/s needed, the disk gave 10"), HasSubstr("--cache-dir")));
}

TEST(Bottleneck, CopiesThatNeverEndAreCopyBound) {
  EpochTiming copies = timing(0.1, 4);
  copies.copy_seconds = 9.5;
  EXPECT_THAT(bottleneck_sentence(copies), HasSubstr("copy-bound: copies to the device take 95 %"));
}

TEST(Bottleneck, NothingMeasuredClaimsNothing) {
  EXPECT_EQ(bottleneck_sentence(EpochTiming()), "nothing was measured");
}

TEST(StageReport, GivesTheSharesAndThePathsOfTheImages) {
  EpochTiming shown = timing(3, 15);
  shown.stages.check = 0.2;
  shown.copy_seconds = 0.5;
  EXPECT_EQ(
      stage_report(shown),
      "read 10 %, check 1 %, decode 75 %, augment 0 %, wait 30 %, copy 5 %; 1000 images by the fast path, 0 by the "
      "reference");
  shown.stages.left_out = 2;
  EXPECT_THAT(stage_report(shown), HasSubstr("2 damaged records left out"));
}

TEST(RepackEstimate, IsCloseToWhatWasMeasuredOnPhotographs) {
  // 110 KB and 500 x 375 pixels an image: 52.5 KB afterwards.
  const data::RepackEstimate estimate = data::estimate_repack(data::make_split({.records = 2000}));
  EXPECT_NEAR(estimate.bytes, 0.47, 0.04);
  EXPECT_NEAR(estimate.decode_speed, 1.65, 0.08);
  // What is small already stays as it is.
  const data::RepackEstimate small = data::estimate_repack(data::make_split({.records = 50, .mean_bytes = 0}));
  EXPECT_DOUBLE_EQ(small.bytes, 1);
  EXPECT_DOUBLE_EQ(small.decode_speed, 1);
  EXPECT_DOUBLE_EQ(data::estimate_repack(data::make_split({.records = 0})).bytes, 1);
}

}  // namespace
}  // namespace imgtrain
