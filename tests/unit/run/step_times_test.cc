#include "engine/train/run/step_times.h"

#include <gtest/gtest.h>

namespace imgtrain {
namespace {

constexpr const char* kHeader = "step,images,seconds,read,decode,wait,copy,forward_backward,exchange,optimizer\n";

TEST(StepTimes, RowsComeWhenBothSidesAreKnownInTheirOrder) {
  StepTimes times(true);
  times.host({4, 8, 0.5, 0.1, 0.2, 0.05, 0});
  times.host({5, 8, 0.25, 0, 0, 0, 0});
  EXPECT_EQ(times.csv(), kHeader);
  times.device({0.3, 0.01, 0.02});
  EXPECT_EQ(times.csv(),
            std::string(kHeader) + "4,8,0.500000,0.100000,0.200000,0.050000,0.000000,0.300000,0.010000,0.020000\n");
}

TEST(StepTimes, SumsAreOfWholeStepsAndBeginAnew) {
  StepTimes times(false);
  for (uint64_t step = 0; step < 3; ++step) times.host({step, 8, 0.5, 0, 0, 0.125, 0});
  times.device({0.25, 0, 0});
  times.device({0.25, 0, 0});
  const boost::json::object sums = times.take_sums();
  EXPECT_EQ(sums.at("steps").to_number<int>(), 2);
  EXPECT_EQ(sums.at("wait").to_number<double>(), 0.25);
  EXPECT_EQ(sums.at("forward_backward").to_number<double>(), 0.5);
  EXPECT_TRUE(times.take_sums().empty());
  EXPECT_TRUE(times.csv().empty());
}

TEST(StepTimes, AResumedRunDropsLinesOfWorkThatWasLost) {
  const std::string earlier = std::string(kHeader) + "1,8,a\n2,8,b\n3,8,c\n4,8,torn";
  EXPECT_EQ(StepTimes(true, earlier, 3).csv(), std::string(kHeader) + "1,8,a\n2,8,b\n");
}

}  // namespace
}  // namespace imgtrain
