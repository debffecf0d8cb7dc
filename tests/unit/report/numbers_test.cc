// What a report counts: calibration, confusion, the most confident mistakes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/report/portable/calibration.h"
#include "engine/report/portable/confusion.h"
#include "tests/support/expect_error.h"

namespace imgtrain {
namespace {

using imgpack::ErrorKind;

Prediction said(int32_t label, int32_t predicted, float confidence, uint64_t id = 0) {
  return {id, label, predicted, confidence, label == predicted ? confidence : 0.1f, true};
}

std::vector<Prediction> repeated(const Prediction& prediction, int times) {
  return std::vector<Prediction>(static_cast<size_t>(times), prediction);
}

std::vector<Prediction> joined(std::initializer_list<std::vector<Prediction>> parts) {
  std::vector<Prediction> all;
  for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

TEST(Calibration, ExpectedErrorIsTheWeightedGapOfTheBins) {
  // 6 images at 0.9, 3 of them right: gap 0.4. 4 images at 0.25, 1 right: gap 0. ECE = 0.6 * 0.4.
  const auto predictions = joined({repeated(said(0, 0, 0.9f), 3), repeated(said(0, 1, 0.9f), 3),
                                   repeated(said(0, 0, 0.25f), 1), repeated(said(0, 1, 0.25f), 3)});
  const Calibration calibration = calibration_of(predictions, 10);
  EXPECT_NEAR(calibration.expected_error, 0.24, 1e-6);
  EXPECT_NEAR(calibration.largest_error, 0.4, 1e-6);
  EXPECT_NEAR(calibration.mean_confidence, 0.64, 1e-6);
  EXPECT_NEAR(calibration.accuracy, 0.4, 1e-9);
  EXPECT_EQ(calibration.bins[8].images, 6u);  // (0.8, 0.9]
  EXPECT_EQ(calibration.bins[2].images, 4u);
}

TEST(Calibration, BinsAreClosedAboveAndTheEndsAreInside) {
  const Calibration calibration =
      calibration_of({said(0, 0, 0.5f), said(0, 0, 0.50001f), said(0, 0, 1.0f), said(0, 0, 0.0f)}, 2);
  EXPECT_EQ(calibration.bins[0].images, 2u);
  EXPECT_EQ(calibration.bins[1].images, 2u);
}

TEST(Calibration, AModelThatIsAsSureAsItIsRightHasNoError) {
  const auto predictions = joined({repeated(said(0, 0, 0.75f), 3), repeated(said(0, 1, 0.75f), 1)});
  EXPECT_NEAR(calibration_of(predictions).expected_error, 0, 1e-9);
  EXPECT_EQ(calibration_of({}).expected_error, 0);
}

TEST(Confusion, CountsClassesAndPairsAndBothDirectionsApart) {
  const ConfusionMatrix matrix(joined({repeated(said(0, 0, 1), 5), repeated(said(0, 1, 1), 2),
                                       repeated(said(1, 0, 1), 3), repeated(said(2, 2, 1), 4)}),
                               4);
  EXPECT_EQ(matrix.at(0, 1), 2u);
  EXPECT_EQ(matrix.at(1, 0), 3u);
  EXPECT_EQ(matrix.at(3, 3), 0u);
  EXPECT_EQ(matrix.times_predicted(0), 8u);
  EXPECT_EQ(matrix.class_counts()[0], (ClassCount{7, 5, 7}));
  EXPECT_EQ(matrix.class_counts()[3], (ClassCount{0, 0, 0}));
  const auto pairs = matrix.most_confused(10);
  ASSERT_EQ(pairs.size(), 2u);
  EXPECT_EQ(pairs[0].label, 1);
  EXPECT_EQ(pairs[0].images, 3u);
  EXPECT_EQ(matrix.most_confused(1).size(), 1u);
  EXPECT_EQ(matrix.taken_for(0, 5).front().predicted, 1);
  EXPECT_TRUE(matrix.taken_for(2, 5).empty());
}

TEST(Confusion, AClassOutOfRangeIsRefused) {
  EXPECT_ERROR(ConfusionMatrix({said(0, 7, 1)}, 3), ErrorKind::kInternal, "class 7 among 3 classes");
}

TEST(Confusion, AMatrixOfManyClassesShowsTheConfusedOnesBesideOneAnother) {
  // 1,000 classes; 10 and 700 are confused most, then 300 and 301, then 700 and 11.
  const ConfusionMatrix matrix(
      joined({repeated(said(10, 700, 1), 6), repeated(said(700, 10, 1), 3), repeated(said(300, 301, 1), 5),
              repeated(said(11, 700, 1), 4), repeated(said(5, 6, 1), 1), repeated(said(9, 9, 1), 50)}),
      1000);
  EXPECT_THAT(matrix.telling_classes(5), testing::ElementsAre(10, 700, 11, 300, 301));
  EXPECT_EQ(ConfusionMatrix({said(0, 1, 1)}, 3).telling_classes(24), (std::vector<int32_t>{0, 1, 2}));
  EXPECT_TRUE(ConfusionMatrix({said(0, 0, 1)}, 100).telling_classes(24).empty());
}

TEST(Predictions, TheMostConfidentMistakesComeFirstInOneOrderEverywhere) {
  const std::vector<Prediction> predictions = {said(0, 1, 0.5f, 3), said(0, 0, 0.99f, 1), said(0, 1, 0.9f, 9),
                                               said(0, 1, 0.9f, 2)};
  std::vector<uint64_t> ids;
  for (const Prediction& prediction : most_confidently_wrong(predictions, 10)) ids.push_back(prediction.id);
  EXPECT_EQ(ids, (std::vector<uint64_t>{2, 9, 3}));
  EXPECT_EQ(most_confidently_wrong(predictions, 1).size(), 1u);
}

}  // namespace
}  // namespace imgtrain
