#include "engine/train/run/run_extension.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/expect_error.h"

namespace imgtrain {
namespace {

using imgpack::ErrorKind;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

RunConfig config_of(double epochs, int64_t batch) {
  RunConfig config;
  config.duration = {epochs, Duration::Unit::kEpochs};
  config.batch = batch;
  config.schedule = ScheduleKind::kLinear;
  config.lr = 1;
  return config;
}

TEST(Extension, CoversLengthBatchRateAndScheduleAndNothingElse) {
  RunConfig before = config_of(2, 8), now = config_of(4, 16);
  now.schedule = ScheduleKind::kCosine;
  now.lr = 2;
  now.threads = 7;
  EXPECT_THAT(beyond_extension(before, now), IsEmpty());
  now.seed = 5;
  now.weight_decay = 0.5;
  EXPECT_THAT(beyond_extension(before, now), ElementsAre(HasSubstr("seed: "), HasSubstr("weight_decay: ")));
}

TEST(Seam, LongerTrainingGoesOnWhereItIsAndSaysBothRates) {
  const RunConfig before = config_of(2, 8), now = config_of(4, 8);
  const LrSchedule old_schedule(before, 10), new_schedule(now, 10);
  const Position at{1, 5, 15, false};
  const Seam seam = seam_of(at, before, old_schedule, now, new_schedule);
  EXPECT_EQ(seam.position, at);
  EXPECT_DOUBLE_EQ(seam.lr_before, 1 - 14 / 20.0);
  EXPECT_DOUBLE_EQ(seam.lr_planned, 1 - 15 / 20.0);
  EXPECT_DOUBLE_EQ(seam.lr_now, 1 - 15 / 40.0);
  EXPECT_THAT(describe(seam, {"duration: 2ep before, 4ep now"}),
              HasSubstr("extended at step 15: duration: 2ep before, 4ep now\nlearning rate at the seam: 0.3"));
}

TEST(Seam, AFinishedRunHadNoRatePlanned) {
  const RunConfig before = config_of(2, 8), now = config_of(3, 8);
  const Seam seam = seam_of({2, 0, 20, true}, before, LrSchedule(before, 10), now, LrSchedule(now, 10));
  EXPECT_EQ(seam.lr_planned, 0);
  EXPECT_THAT(describe(seam, {}), HasSubstr("training had been over"));
}

TEST(Seam, AnotherBatchCountsTheEpochsDoneInItsOwnSteps) {
  const RunConfig before = config_of(4, 8), now = config_of(4, 16);
  const Seam seam = seam_of({2, 0, 20, false}, before, LrSchedule(before, 10), now, LrSchedule(now, 5));
  EXPECT_EQ(seam.position.epoch, 2u);
  EXPECT_EQ(seam.position.step, 10u);
  EXPECT_DOUBLE_EQ(seam.lr_now, 0.5);
  EXPECT_TRUE(changes_order(before, now));
}

TEST(Seam, NothingLeftToTrainAndACutEpochAreErrors) {
  const RunConfig before = config_of(2, 8), shorter = config_of(1, 8), cut = config_of(1.5, 8);
  const Position inside{1, 5, 15, false}, end{2, 0, 15, true};
  EXPECT_ERROR(seam_of(inside, before, LrSchedule(before, 10), shorter, LrSchedule(shorter, 10)), ErrorKind::kUsage,
               "nothing is left to train");
  EXPECT_ERROR(seam_of(end, cut, LrSchedule(cut, 10), before, LrSchedule(before, 10)), ErrorKind::kUsage,
               "ended inside epoch 2");
}

}  // namespace
}  // namespace imgtrain
