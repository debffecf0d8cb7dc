#include "engine/train/run/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <cmath>
#include <fstream>
#include <sstream>

#include "engine/train/run/recipe.h"
#include "format/error.h"

namespace imgtrain {
namespace {

using ::testing::HasSubstr;

RunConfig config(const char* text) {
  const ConfigLayer layers[] = {{"test", boost::json::parse(text).as_object()}};
  return resolve(layers).values;
}

TEST(LrSchedule, ReferenceRecipeGivesTheSixtyLearningRatesOfThePublishedRun) {
  std::ifstream file(SHARED_DIR "/data/reference_metrics.csv");
  if (!file) GTEST_SKIP() << "the published log is not here: " SHARED_DIR "/data/reference_metrics.csv";
  const ConfigLayer layers[] = {find_recipe("reference").layer};
  const RunConfig reference = resolve(layers).values;
  // 1,281,167 images in batches of 1,792, the last partial one kept.
  const LrSchedule schedule(reference, 715);
  std::string line;
  std::getline(file, line);
  int rows = 0;
  while (std::getline(file, line)) {
    std::vector<std::string> cells;
    std::stringstream stream(line);
    for (std::string cell; std::getline(stream, cell, ',');) cells.push_back(cell);
    if (cells.at(0) != "train") continue;
    // The log holds the rate after the epoch's last step.
    const uint64_t samples = std::stoull(cells.at(1)) * 715 * 1792;
    const double published = std::stod(cells.at(5));
    EXPECT_NEAR(schedule.at(samples).lr, published, 1e-12 * published) << "epoch " << cells.at(1);
    ++rows;
  }
  EXPECT_EQ(rows, 60);
}

TEST(LrSchedule, OneCycleStartsRisesAndEndsWhereItsDivisorsSay) {
  const LrSchedule schedule(config(R"({"schedule": "onecycle", "lr": 1, "duration": "10ep", "batch": 8})"), 10);
  EXPECT_NEAR(schedule.at_step(0).lr, 1.0 / 25, 1e-15);
  EXPECT_DOUBLE_EQ(schedule.at_step(29).lr, 1.0);
  EXPECT_NEAR(schedule.at_step(99).lr, 1.0 / 25 / 1e4, 1e-15);
  EXPECT_EQ(schedule.at_step(50).momentum, 0.9);
}

TEST(LrSchedule, OneCycleMovesMomentumAgainstTheRateWhenAsked) {
  const LrSchedule schedule(
      config(R"({"schedule": "onecycle", "lr": 1, "duration": "10ep", "onecycle_cycle_momentum": true})"), 10);
  EXPECT_DOUBLE_EQ(schedule.at_step(0).momentum, 0.95);
  EXPECT_DOUBLE_EQ(schedule.at_step(29).momentum, 0.85);
  EXPECT_DOUBLE_EQ(schedule.at_step(99).momentum, 0.95);
}

TEST(LrSchedule, WarmupReachesThePeakAndTheDecaysReachTheirEnd) {
  for (const char* kind : {"cosine", "linear", "poly"}) {
    const std::string text = std::string(R"({"lr": 2, "duration": "10ep", "warmup": "2ep", "warmup_start": 0.25,
      "lr_final": 0.125, "schedule": ")") +
                             kind + "\"}";
    const LrSchedule schedule(config(text.c_str()), 10);
    EXPECT_DOUBLE_EQ(schedule.at_step(0).lr, 0.5) << kind;
    EXPECT_DOUBLE_EQ(schedule.at_step(10).lr, 1.25) << kind;
    EXPECT_DOUBLE_EQ(schedule.at_step(20).lr, 2) << kind;
    EXPECT_DOUBLE_EQ(schedule.at_step(100).lr, 0.25) << kind;
    for (uint64_t step = 21; step < 100; ++step)
      EXPECT_LT(schedule.at_step(step).lr, schedule.at_step(step - 1).lr) << kind << " " << step;
  }
}

TEST(LrSchedule, FfcvTriLinearIsLinearWithATwoEpochWarmup) {
  const LrSchedule schedule(
      config(R"({"lr": 1.7, "duration": "16ep", "warmup": "2ep", "warmup_start": 1e-4, "schedule": "linear"})"), 100);
  // np.interp([epoch], [0, 2, 16], [1e-4 * lr, lr, 0]), linear inside an epoch.
  const auto ffcv = [](double epoch) {
    return epoch < 2 ? 1.7 * (1e-4 + (1 - 1e-4) * epoch / 2) : 1.7 * (16 - epoch) / 14;
  };
  for (uint64_t step = 0; step < 1600; ++step)
    EXPECT_NEAR(schedule.at_step(step).lr, ffcv(static_cast<double>(step) / 100), 1e-14) << step;
}

TEST(LrSchedule, StepFallsExactlyAtItsPlaces) {
  const LrSchedule schedule(
      config(R"({"lr": 1, "duration": "90ep", "schedule": "step", "step_at": ["30ep", "60ep", "80ep"]})"), 10);
  EXPECT_DOUBLE_EQ(schedule.at_step(299).lr, 1);
  EXPECT_DOUBLE_EQ(schedule.at_step(300).lr, 0.1);
  EXPECT_DOUBLE_EQ(schedule.at_step(600).lr, 0.01);
  EXPECT_DOUBLE_EQ(schedule.at_step(899).lr, 0.001);
}

TEST(LrSchedule, HoldingForAnEpochGivesEveryStepTheRateOfItsFirst) {
  const LrSchedule schedule(config(R"({"lr": 1, "duration": "10ep", "schedule": "cosine", "lr_hold": "epoch"})"), 10);
  for (uint64_t step = 0; step < 100; ++step) EXPECT_EQ(schedule.at_step(step).lr, schedule.at_step(step / 10 * 10).lr);
  EXPECT_NE(schedule.at_step(10).lr, schedule.at_step(9).lr);
}

TEST(LrSchedule, DecayFromStartIsOnlyCoveredByTheWarmup) {
  const LrSchedule schedule(
      config(R"({"lr": 1, "duration": "10ep", "warmup": "5ep", "schedule": "cosine", "decay_from_start": true})"), 10);
  EXPECT_NEAR(schedule.at_step(50).lr, 0.5, 1e-15);
  EXPECT_NEAR(schedule.at_step(49).lr, 0.98, 1e-15);
}

TEST(LrSchedule, LengthsThatDoNotFitAreUsageErrors) {
  const auto message = [](const char* text) {
    try {
      const LrSchedule schedule(config(text), 10);
    } catch (const imgpack::Error& error) {
      EXPECT_EQ(error.kind(), imgpack::ErrorKind::kUsage);
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_THAT(message(R"({"duration": "2ep", "warmup": "20ba"})"), HasSubstr("warmup: expected less than the whole"));
  EXPECT_THAT(message(R"({"duration": "0.01ep"})"), HasSubstr("at least one step"));
  EXPECT_THAT(message(R"({"duration": "2ep", "schedule": "step", "step_at": ["3ep"]})"), HasSubstr("step_at"));
  EXPECT_THAT(message(R"({"duration": "9ep", "schedule": "step", "step_at": ["3ep", "2ep"]})"), HasSubstr("ascending"));
}

TEST(LrSchedule, ASingleStepHasAFiniteRate) {
  for (const char* kind : {"onecycle", "cosine", "linear", "poly", "constant"}) {
    const std::string text = std::string(R"({"duration": "1ba", "schedule": ")") + kind + "\"}";
    EXPECT_TRUE(std::isfinite(LrSchedule(config(text.c_str()), 10).at_step(0).lr)) << kind;
  }
}

TEST(LrSchedule, CsvHasOneRowPerStep) {
  const LrSchedule schedule(config(R"({"lr": 1, "duration": "2ep", "schedule": "constant"})"), 2);
  EXPECT_EQ(schedule_csv(schedule),
            "step,epoch,learning_rate,momentum\n0,0,1,0.9\n1,0.5,1,0.9\n2,1,1,0.9\n3,1.5,1,0.9\n");
}

}  // namespace
}  // namespace imgtrain
