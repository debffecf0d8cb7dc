#include "engine/predict/portable/submission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/expect_error.h"
#include "tests/support/memory_file_system.h"

namespace imgtrain {
namespace {

using imgpack::ErrorKind;

std::vector<SubmissionRow> rows() {
  return {{"ILSVRC2012_test_00000002", {"n01443537", "n15075141"}, 500, 375},
          {"ILSVRC2012_test_00000001", {"n01440764"}, 64, 48}};
}

TEST(Submission, RowsAreSortedByIdAndClassesAreNumberedFromOne) {
  EXPECT_EQ(submission_csv(rows(), SubmissionClass::kNumber, {}),
            "ImageId,PredictionString\n"
            "ILSVRC2012_test_00000001,1 0 0 64 48\n"
            "ILSVRC2012_test_00000002,2 0 0 500 375 1000 0 0 500 375\n");
}

TEST(Submission, RowsComeInTheOrderOfTheSample) {
  EXPECT_EQ(submission_csv(rows(), SubmissionClass::kWnid, {"ILSVRC2012_test_00000002", "ILSVRC2012_test_00000001"}),
            "ImageId,PredictionString\n"
            "ILSVRC2012_test_00000002,n01443537 0 0 500 375 n15075141 0 0 500 375\n"
            "ILSVRC2012_test_00000001,n01440764 0 0 64 48\n");
}

TEST(Submission, NoMoreThanFiveGuesses) {
  const SubmissionRow many{"a", std::vector<std::string>(9, "n01440764"), 1, 2};
  EXPECT_EQ(submission_csv({many}, SubmissionClass::kNumber, {}),
            "ImageId,PredictionString\na,1 0 0 1 2 1 0 0 1 2 1 0 0 1 2 1 0 0 1 2 1 0 0 1 2\n");
}

TEST(Submission, ImagesMissingOnEitherSideAreNamed) {
  EXPECT_ERROR(submission_csv(rows(), SubmissionClass::kNumber, {"ILSVRC2012_test_00000002"}), ErrorKind::kInvalidInput,
               "no row for image 'ILSVRC2012_test_00000001'");
  EXPECT_ERROR(submission_csv(rows(), SubmissionClass::kNumber,
                              {"ILSVRC2012_test_00000002", "ILSVRC2012_test_00000001", "ILSVRC2012_test_00000003"}),
               ErrorKind::kInvalidInput, "asks for image 'ILSVRC2012_test_00000003'");
}

TEST(Submission, AClassThatTheChallengeDoesNotHaveIsRefused) {
  EXPECT_ERROR(submission_csv({{"a", {"my flowers"}, 1, 1}}, SubmissionClass::kNumber, {}), ErrorKind::kInvalidInput,
               "'my flowers' is none of them");
}

TEST(Submission, TheSampleIsReadInItsOrder) {
  imgpack::test::MemoryFileSystem fs;
  imgpack::publish(fs, "/sample.csv", "ImageId,PredictionString\r\nb,1 0 0 1 1\r\na,\r\n");
  EXPECT_THAT(read_sample_submission(fs, "/sample.csv"), testing::ElementsAre("b", "a"));
  imgpack::publish(fs, "/other.csv", "id,label\nb,1\n");
  EXPECT_ERROR(read_sample_submission(fs, "/other.csv"), ErrorKind::kInvalidInput, "found 'id,label'");
  imgpack::publish(fs, "/empty.csv", "ImageId,PredictionString\n");
  EXPECT_ERROR(read_sample_submission(fs, "/empty.csv"), ErrorKind::kInvalidInput, "found none");
}

}  // namespace
}  // namespace imgtrain
