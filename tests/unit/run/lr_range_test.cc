#include "engine/train/run/lr_range.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace imgtrain {
namespace {

using ::testing::HasSubstr;

// A loss that stays, falls around `knee` and blows up from `end` on, as training does.
double loss_at(double lr, double knee, double end) {
  const double fall = 2 / (1 + std::pow(knee / lr, 2));
  return 4 - fall + (lr > end ? std::pow(lr / end, 3) - 1 : 0);
}

LrCurve curve_of(const LrRange& range, double knee, double end) {
  LrCurve curve(range);
  for (uint64_t i = 0; i < range.steps; ++i)
    if (!curve.add(loss_at(rate_at(range, i), knee, end))) break;
  return curve;
}

TEST(LrRange, RatesGoFromTheFirstToTheLastByTheSameFactor) {
  const LrRange range{1e-6, 1, 500};
  EXPECT_DOUBLE_EQ(rate_at(range, 0), 1e-6);
  EXPECT_DOUBLE_EQ(rate_at(range, 499), 1);
  for (uint64_t i = 2; i < 500; ++i)
    EXPECT_NEAR(rate_at(range, i) / rate_at(range, i - 1), rate_at(range, 1) / rate_at(range, 0), 1e-12);
}

TEST(LrRange, SmoothedLossIsTheCorrectedExponentialMean) {
  LrCurve curve({1e-6, 1, 500, 0.9, 4});
  curve.add(5);
  curve.add(3);
  EXPECT_DOUBLE_EQ(curve.points()[0].smoothed, 5);
  EXPECT_DOUBLE_EQ(curve.points()[1].smoothed, (0.9 * 0.1 * 5 + 0.1 * 3) / (1 - 0.81));
}

TEST(LrRange, SuggestsWhereTheLossFallsFastestBelowWhereItIsLowest) {
  for (const double knee : {1e-3, 1e-2}) {
    const auto suggestion = suggest(curve_of({1e-6, 1, 500, 0.9, 4}, knee, 30 * knee));
    ASSERT_TRUE(suggestion);
    // Smoothing lags behind by about its memory of 10 steps, a factor of 1.3 here.
    EXPECT_GT(suggestion->lr, knee / 2);
    EXPECT_LT(suggestion->lr, knee * 3);
    EXPECT_LT(suggestion->lr, suggestion->lowest);
    EXPECT_DOUBLE_EQ(suggestion->tenth, suggestion->lowest / 10);
  }
}

TEST(LrRange, EndsWhereTheLossBlowsUpOrIsNoNumber) {
  const LrRange range{1e-6, 10, 500, 0.9, 4};
  EXPECT_LT(curve_of(range, 1e-3, 1e-2).points().size(), 500u);
  LrCurve curve(range);
  EXPECT_TRUE(curve.add(2));
  EXPECT_FALSE(curve.add(NAN));
  EXPECT_EQ(curve.points().size(), 2u);
}

TEST(LrRange, ACurveThatNeverFallsSuggestsNothing) {
  LrCurve flat({1e-6, 1, 100}), rising({1e-6, 1, 100}), few({1e-6, 1, 100});
  for (int i = 0; i < 100; ++i) {
    flat.add(3);
    rising.add(3 + 0.01 * i);
  }
  for (int i = 0; i < 3; ++i) few.add(3 - i);
  EXPECT_FALSE(suggest(flat));
  EXPECT_FALSE(suggest(rising));
  EXPECT_FALSE(suggest(few));
}

TEST(LrRange, CsvAndPlotHoldTheCurveAndTheSuggestion) {
  const LrCurve curve = curve_of({1e-6, 1, 50, 0.9, 4}, 1e-3, 0.03);
  EXPECT_THAT(lr_curve_csv(curve), HasSubstr("step,learning_rate,loss,smoothed_loss\n0,1e-06,"));
  const std::string script = lr_plot_script(curve, suggest(curve), "/tmp/it's.png", false);
  EXPECT_THAT(script, HasSubstr("set output '/tmp/it''s.png'"));
  EXPECT_THAT(script, HasSubstr("title 'suggestion "));
}

}  // namespace
}  // namespace imgtrain
