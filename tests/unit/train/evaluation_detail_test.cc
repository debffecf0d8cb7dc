#include "engine/train/evaluation_detail.h"

#include <gtest/gtest.h>

#include "tests/support/expect_error.h"

namespace imgtrain {
namespace {

constexpr int64_t kClasses = 7;

imgpack::SplitView split_of(const std::vector<uint64_t>& ids) {
  imgpack::SplitView split;
  split.info.name = "val";
  split.columns.id = ids;
  return split;
}

imgpack::LabelSet real_set(const std::vector<uint64_t>& ids, std::vector<std::vector<int32_t>> labels) {
  imgpack::LabelSet set;
  set.name = "real";
  set.split = "val";
  set.classes = kClasses;
  set.ids = imgpack::ids_checksum(ids);
  set.labels = std::move(labels);
  return set;
}

// Rows of logits whose highest entries are the classes listed, best first.
torch::Tensor ranked(const std::vector<std::vector<int64_t>>& best) {
  torch::Tensor logits = torch::zeros({static_cast<int64_t>(best.size()), kClasses});
  for (size_t i = 0; i < best.size(); ++i)
    for (size_t k = 0; k < best[i].size(); ++k)
      logits[static_cast<int64_t>(i)][best[i][k]] = 10.0 - static_cast<double>(k);
  return logits;
}

TEST(DetailCounts, CountsEveryClassOverBatches) {
  DetailCounts counts(kClasses, nullptr, torch::kCPU);
  counts.add(ranked({{0, 1, 2, 3, 4}, {1, 0, 2, 3, 4}}), torch::tensor({0, 0}, torch::kLong), nullptr);
  counts.add(ranked({{0, 1, 2, 3, 4}, {3, 1, 2, 0, 4}}), torch::tensor({6, 3}, torch::kLong), nullptr);
  const std::vector<ClassCount> classes = counts.classes();
  EXPECT_EQ(classes[0], (ClassCount{2, 1, 2}));
  EXPECT_EQ(classes[6], (ClassCount{1, 0, 0}));
  EXPECT_EQ(classes[3], (ClassCount{1, 1, 1}));
  EXPECT_EQ(classes[1], (ClassCount{0, 0, 0}));
  EXPECT_EQ(counts.real(), RealTotals());
}

TEST(DetailCounts, ByRealLabelsAnyOfThemIsRightAndImagesWithoutAreLeftOut) {
  const std::vector<uint64_t> ids = {11, 22, 33, 44};
  const RealLabels real(real_set(ids, {{2, 5}, {}, {1}, {0, 3}}), split_of(ids), kClasses);
  DetailCounts counts(kClasses, &real, torch::kCPU);
  // Out of the set's order, as a rank may see them: right by its second label, without label, wrong, right.
  const std::vector<uint64_t> seen = {44, 22, 33, 11};
  counts.add(ranked({{3}, {0}, {0}, {2}}), torch::tensor({0, 0, 1, 2}, torch::kLong), seen.data());
  EXPECT_EQ(counts.real(), (RealTotals{3, 2}));
}

TEST(RealLabels, OfOtherImagesOrClassesAreRefused) {
  const std::vector<uint64_t> ids = {11, 22};
  const imgpack::LabelSet set = real_set({11, 23}, {{0}, {1}}), good = real_set(ids, {{0}, {1}});
  const imgpack::SplitView split = split_of(ids);
  EXPECT_ERROR(RealLabels(set, split, kClasses), imgpack::ErrorKind::kInvalidInput, "is of other images");
  EXPECT_ERROR(RealLabels(good, split, 8), imgpack::ErrorKind::kInvalidInput, "expected labels of 8 classes, found 7");
}

TEST(Predictions, EveryImageGetsARowWithItsSharesOfProbability) {
  std::vector<Prediction> predictions = {{}};
  const uint64_t ids[] = {11, 12};
  // The second image's label is its sixth guess.
  const torch::Tensor logits = ranked({{3, 1}, {0, 1, 2, 3, 4, 5}});
  append_predictions(logits, torch::tensor({3, 5}, torch::kLong), ids, predictions);
  ASSERT_EQ(predictions.size(), 3u);
  const torch::Tensor shares = logits.softmax(1);
  EXPECT_EQ(predictions[1].id, 11u);
  EXPECT_TRUE(predictions[1].right());
  EXPECT_TRUE(predictions[1].in_top5);
  EXPECT_FLOAT_EQ(predictions[1].confidence, shares[0][3].item<float>());
  EXPECT_FLOAT_EQ(predictions[1].label_probability, shares[0][3].item<float>());
  EXPECT_EQ(predictions[2].predicted, 0);
  EXPECT_EQ(predictions[2].label, 5);
  EXPECT_FALSE(predictions[2].in_top5);
  EXPECT_FLOAT_EQ(predictions[2].confidence, shares[1][0].item<float>());
  EXPECT_FLOAT_EQ(predictions[2].label_probability, shares[1][5].item<float>());
}

}  // namespace
}  // namespace imgtrain
