#include "engine/train/run/event_scalars.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace imgtrain {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

TEST(EventScalars, NumbersStandUnderTheStageOrTheType) {
  const auto epoch =
      event_scalars("epoch", {{"stage", "train"}, {"epoch", 3}, {"step", 30}, {"loss", 2.5}, {"note", "x"}});
  ASSERT_TRUE(epoch);
  EXPECT_EQ(epoch->step, 30u);
  EXPECT_THAT(epoch->values, ElementsAre(Pair("train/loss", 2.5)));
  const auto progress = event_scalars("progress", {{"step", 7}, {"loss", 1}});
  ASSERT_TRUE(progress);
  EXPECT_THAT(progress->values, ElementsAre(Pair("progress/loss", 1.0)));
}

TEST(EventScalars, MembersOfAnObjectCarryItsName) {
  const auto epoch = event_scalars(
      "epoch", {{"stage", "train"}, {"step", 1}, {"stages", boost::json::object{{"wait", 0.5}, {"name", "y"}}}});
  ASSERT_TRUE(epoch);
  EXPECT_THAT(epoch->values, ElementsAre(Pair("train/stages.wait", 0.5)));
}

TEST(EventScalars, PointsInTimeAndNumbersThatAreNoneAreNoCurves) {
  EXPECT_FALSE(event_scalars("start", {{"step", 0}, {"threads", 2}}));
  EXPECT_FALSE(event_scalars("finish", {{"steps", 10}, {"accuracy", 3}}));
  EXPECT_FALSE(event_scalars("epoch", {{"loss", 2.5}}));
  EXPECT_FALSE(event_scalars("progress", {{"step", 7}, {"loss", NAN}}));
}

}  // namespace
}  // namespace imgtrain
