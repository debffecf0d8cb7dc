#include "engine/train/run/step_profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/array.hpp>

#include "engine/train/run/json_text.h"

namespace imgtrain {
namespace {

StepProfile example() {
  StepProfile profile;
  profile.device = "a test";
  profile.model = "resnet18";
  profile.precision = "bf16";
  profile.batch = profile.group = 32;
  profile.size = 224;
  profile.rounds = 3;
  profile.steps = 2;
  profile.step_seconds = spread_of({0.030, 0.020, 0.025});
  profile.images_per_second = spread_of({32 / 0.030, 32 / 0.020, 32 / 0.025});
  profile.roofline = {100e9, 10e12};
  profile.observed_seconds = 0.040;
  profile.layers = {{"conv1", "convolution 7x7", "64x112x112", 1, {0.004, 0.1e9, 20e9}, {0.010, 0.2e9, 40e9}},
                    {"bn1", "batch norm + ReLU", "64x112x112", 1, {0.002, 0.1e9, 0}, {0.003, 0.2e9, 0}},
                    {"layer1.0.bn1", "batch norm + ReLU", "64x56x56", 1, {0.001, 0.05e9, 0}, {0.002, 0.1e9, 0}}};
  profile.optimizer_seconds = 0.003;
  return profile;
}

TEST(StepProfile, RooflineIsTheLaterOfMemoryAndArithmetic) {
  const Roofline roofline{100e9, 10e12};
  EXPECT_DOUBLE_EQ(roofline.seconds({0, 1e9, 1e9}), 0.01);
  EXPECT_DOUBLE_EQ(roofline.seconds({0, 1e9, 1e12}), 0.1);
  EXPECT_EQ(Roofline().seconds({0, 1e9, 1e12}), 0);
}

TEST(StepProfile, SpreadOfAnEvenCountTakesTheMiddleOfTheTwo) {
  const Spread spread = spread_of({4, 1, 3, 2});
  EXPECT_EQ(spread.median, 2.5);
  EXPECT_EQ(spread.least, 1);
  EXPECT_EQ(spread.most, 4);
}

TEST(StepProfile, KindsAddUpTheirLayersAndTheMostExpensiveIsFirst) {
  const auto kinds = by_kind(example().layers);
  ASSERT_EQ(kinds.size(), 2u);
  EXPECT_EQ(kinds[0].kind, "convolution 7x7");
  EXPECT_EQ(kinds[1].kind, "batch norm + ReLU");
  EXPECT_EQ(kinds[1].calls, 2);
  EXPECT_DOUBLE_EQ(kinds[1].forward.seconds, 0.003);
  EXPECT_DOUBLE_EQ(kinds[1].backward.bytes, 0.3e9);
}

TEST(StepProfile, WhatNoLayerAccountsForIsTheRestOfTheStep) {
  StepProfile profile = example();
  EXPECT_NEAR(profile.other_seconds(), 0.040 - 0.022 - 0.003, 1e-12);
  profile.observed_seconds = 0.01;
  EXPECT_EQ(profile.other_seconds(), 0);
}

TEST(StepProfile, TableShowsTimesRatesAndTheShareOfTheRoofline) {
  const std::string text = to_text(example());
  EXPECT_THAT(text, testing::HasSubstr("resnet18 at 224 px, batch 32 in groups of 32, bf16, separate kernels"));
  EXPECT_THAT(text, testing::HasSubstr("step: 25.00 ms (from 20.00 to 30.00 over 3 rounds of 2), 1280.0 images/s"));
  // 14 ms of 40 for 0.3 GB, 60 GFLOP: 21.4 GB/s, 4.286 TFLOP/s; the roofline allows 6 ms.
  EXPECT_THAT(text, testing::ContainsRegex("conv1 +64x112x112 +4\\.000 +10\\.000 +35\\.0 % +21\\.4 +4\\.286 +43 %"));
  EXPECT_THAT(text, testing::ContainsRegex("batch norm \\+ ReLU +2 calls +3\\.000 +5\\.000 +20\\.0 %"));
  EXPECT_THAT(text, testing::ContainsRegex("everything else +15\\.000"));
}

TEST(StepProfile, JsonHoldsTheSameNumbers) {
  const auto json = to_json(example());
  EXPECT_EQ(json.at("message_type").as_string(), "profile");
  EXPECT_EQ(json.at("input").as_string(), "synthetic");
  EXPECT_DOUBLE_EQ(json.at("images_per_second").at("median").as_double(), 1280);
  const auto& layer = json.at("layers").as_array().at(0);
  EXPECT_EQ(layer.at("name").as_string(), "conv1");
  EXPECT_DOUBLE_EQ(layer.at("backward").at("bytes_per_second").as_double(), 20e9);
  EXPECT_DOUBLE_EQ(layer.at("forward").at("roofline_seconds").as_double(), 0.002);
  EXPECT_EQ(json.at("kinds").as_array().size(), 2u);
  EXPECT_FALSE(json.at("kinds").as_array().at(0).as_object().contains("name"));
}

StepProfile with_choices() {
  StepProfile profile = example();
  profile.choices = {{"batch norm + ReLU", "fp16", 50176, 64, {{"own", 0.0012}, {"cuDNN", 0.0013}}, 0},
                     {"batch norm + add + ReLU", "fp16", 50176, 256, {{"own", 0.005}, {"cuDNN", 0.004}}, 1},
                     {"batch norm + ReLU", "fp16", 49, 64, {{"own", 0.001}, {"cuDNN", std::nullopt}}, 0}};
  return profile;
}

TEST(StepProfile, TextCountsTheChoicesOfKernelsAndNamesThoseThatWereNotTheFirst) {
  const std::string text = to_text(with_choices());
  EXPECT_THAT(text, testing::HasSubstr("faster kernels by feature map: own for 2, cuDNN for 1\n"
                                       "  batch norm + add + ReLU, 50176 x 256: cuDNN 4.000 ms, own 5.000 ms\n"
                                       "a step with a clock"));
  EXPECT_THAT(to_text(example()), testing::Not(testing::HasSubstr("faster kernels")));
}

TEST(StepProfile, JsonHoldsEveryChoiceOfKernelsWithBothTimes) {
  const auto json = to_json(with_choices());
  const auto& choices = json.at("kernel_choices").as_array();
  ASSERT_EQ(choices.size(), 3u);
  EXPECT_EQ(choices[1].at("chosen").as_string(), "cuDNN");
  EXPECT_EQ(choices[1].at("kind").as_string(), "batch norm + add + ReLU");
  EXPECT_EQ(choices[1].at("type").as_string(), "fp16");
  EXPECT_EQ(choices[1].at("rows").as_int64(), 50176);
  EXPECT_EQ(choices[1].at("channels").as_int64(), 256);
  EXPECT_DOUBLE_EQ(choices[1].at("seconds").at("own").as_double(), 0.005);
  EXPECT_DOUBLE_EQ(choices[1].at("seconds").at("cuDNN").as_double(), 0.004);
  EXPECT_TRUE(choices[2].at("seconds").at("cuDNN").is_null());
  EXPECT_TRUE(to_json(example()).at("kernel_choices").as_array().empty());
}

}  // namespace
}  // namespace imgtrain
