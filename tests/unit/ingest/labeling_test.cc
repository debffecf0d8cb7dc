#include "format/ingest/labeling.h"

#include <gmock/gmock.h>

#include "format/ingest/folder_source.h"
#include "format/ingest/ilsvrc2012.h"
#include "format/record.h"
#include "tests/support/expect_error.h"
#include "tests/support/image_tree.h"

namespace imgpack::ingest {
namespace {

using test::ImageTree;
using test::kTreeRoot;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

LabeledSource label(ImageTree& tree, const LabelOptions& options = {}) {
  return label_source(tree.fs, scan_folder(tree.fs, kTreeRoot), options);
}

std::string solution(const std::vector<std::pair<int, std::string>>& rows) {
  std::string text = "ImageId,PredictionString\n";
  for (const auto& [number, wnid] : rows)
    text += "ILSVRC2012_val_0000000" + std::to_string(number) + "," + wnid + " 0 0 1 1 \n";
  return text;
}

// train: a and b; val: two flat images, the first of class b.
class LabelingTest : public testing::Test {
 protected:
  LabelingTest() { tree_.images("train/a", 2).images("train/b", 1).ilsvrc_images("val", "val", 1, 2); }
  void add_solution(const std::string& first, const std::string& second) {
    tree_.text("LOC_val_solution.csv", solution({{2, second}, {1, first}}));
  }
  void add_annotation(int number, const std::string& wnid) {
    tree_.text("Annotations/CLS-LOC/val/ILSVRC2012_val_0000000" + std::to_string(number) + ".xml",
               "<annotation><object><name>" + wnid + "</name></object></annotation>");
  }
  ImageTree tree_;
};

TEST_F(LabelingTest, ClassFoldersLabelTrainAndTheSolutionLabelsVal) {
  add_solution("b", "a");
  const LabeledSource source = label(tree_);
  EXPECT_THAT(source.splits[0].labels, ElementsAre(0, 0, 1));
  EXPECT_THAT(source.splits[1].labels, ElementsAre(1, 0));
  ASSERT_EQ(source.splits[1].sources.size(), 1u);
  EXPECT_EQ(source.splits[1].sources[0].source, "LOC_val_solution.csv");
  EXPECT_EQ(source.splits[1].sources[0].covered, 2u);
}

TEST_F(LabelingTest, AllSourcesPresentAreCompared) {
  add_solution("b", "a");
  add_annotation(1, "b");
  add_annotation(2, "a");
  const LabeledSource source = label(tree_);
  ASSERT_EQ(source.splits[1].sources.size(), 2u);
  EXPECT_EQ(source.splits[1].sources[1].source, "Annotations XML");
  EXPECT_THAT(source.splits[1].labels, ElementsAre(1, 0));
}

TEST_F(LabelingTest, DisagreementIsListedWithWhatEachSourceSays) {
  add_solution("b", "a");
  add_annotation(1, "a");
  EXPECT_ERROR(label(tree_), ErrorKind::kInvalidInput,
               "label sources disagree on 1 of the 2 images of val:\n  ILSVRC2012_val_00000001.JPEG: "
               "LOC_val_solution.csv says b, Annotations XML says a");
}

TEST_F(LabelingTest, ValprepScriptIsReadBesideTheSourceAndInsideVal) {
  const std::string script = "mv ILSVRC2012_val_00000001.JPEG b/\nmv ILSVRC2012_val_00000002.JPEG a/\n";
  tree_.text("val/valprep.sh", script);
  const LabeledSource inside = label(tree_);
  EXPECT_THAT(inside.splits[1].labels, ElementsAre(1, 0));
  EXPECT_EQ(inside.splits[1].sources[0].source, "valprep.sh");
  add_solution("a", "a");
  tree_.text("valprep.sh", script);
  EXPECT_ERROR(label(tree_), ErrorKind::kInvalidInput,
               "ILSVRC2012_val_00000001.JPEG: LOC_val_solution.csv says a, valprep.sh says b");
}

TEST_F(LabelingTest, DevkitWithAMapOfItsIdsIsComparedWithTheRest) {
  tree_.text("ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt", "490\n361\n")
      .text("ILSVRC2012_devkit_t12/data/meta.csv", "ILSVRC2012_ID,WNID,words\n490,n00000002,b\n361,n00000001,a\n");
  tree_.images("train/n00000001", 1).images("train/n00000002", 1);
  const LabeledSource source = label(tree_);
  EXPECT_THAT(source.splits[1].labels, ElementsAre(3, 2));
  EXPECT_EQ(source.splits[1].sources[0].source, "ILSVRC2012_validation_ground_truth.txt (ids by meta.csv)");
  add_annotation(2, "n00000002");
  EXPECT_ERROR(label(tree_), ErrorKind::kInvalidInput,
               "ILSVRC2012_val_00000002.JPEG: Annotations XML says n00000002, "
               "ILSVRC2012_validation_ground_truth.txt (ids by meta.csv) says n00000001");
}

TEST_F(LabelingTest, DevkitWithoutAMapAndOfAnotherSizeIsNotGuessedAt) {
  add_solution("b", "a");
  tree_.text("ILSVRC2012_validation_ground_truth.txt", "1\n2\n");
  EXPECT_ERROR(label(tree_), ErrorKind::kInvalidInput,
               "ILSVRC2012_validation_ground_truth.txt: ids cannot be told from classes: expected the 50,000 lines");
}

TEST_F(LabelingTest, AUsersOwnFileLabelsValAndIsComparedWithTheRest) {
  tree_.text("mine.csv", "image,class\nILSVRC2012_val_00000001.JPEG,b\nILSVRC2012_val_00000002.JPEG,a\n");
  const LabelOptions options{.files = {{"val", std::string(kTreeRoot) + "/mine.csv"}}};
  const LabeledSource source = label(tree_, options);
  EXPECT_THAT(source.splits[1].labels, ElementsAre(1, 0));
  EXPECT_EQ(source.splits[1].sources[0].source, "mine.csv");
  add_solution("b", "b");
  EXPECT_ERROR(label(tree_, options), ErrorKind::kInvalidInput, "mine.csv says a, LOC_val_solution.csv says b");
}

TEST_F(LabelingTest, NumbersInAUsersFileAreNoClasses) {
  tree_.text("mine.csv", "ILSVRC2012_val_00000001.JPEG,1\nILSVRC2012_val_00000002.JPEG,0\n");
  EXPECT_ERROR(label(tree_, {.files = {{"val", std::string(kTreeRoot) + "/mine.csv"}}}), ErrorKind::kInvalidInput,
               "a label file holds names of class folders (n01440764), no numbers");
}

TEST(Labeling, AUsersFileLabelsFlatTrainAndTestImages) {
  ImageTree tree;
  tree.image("train/1.jpg").image("train/2.jpg").image("test/3.jpg");
  tree.text("train.tsv", "1.jpg\tdog\n2.jpg\tcat\n").text("test.csv", "3.jpg,dog\n");
  const std::string root = kTreeRoot;
  const LabeledSource source = label(tree, {.files = {{"train", root + "/train.tsv"}, {"test", root + "/test.csv"}}});
  ASSERT_EQ(source.classes.classes.size(), 2u);
  EXPECT_THAT(source.splits[0].labels, ElementsAre(1, 0));
  EXPECT_THAT(source.splits[1].labels, ElementsAre(1));
  EXPECT_ERROR(label(tree, {.files = {{"val", root + "/test.csv"}}}), ErrorKind::kInvalidInput,
               "labels for a split that the source lacks: val");
}

TEST_F(LabelingTest, LabelFileForOtherImagesIsAnError) {
  tree_.text("LOC_val_solution.csv", "ImageId,PredictionString\nsomething_else,a 0 0 1 1\n");
  EXPECT_ERROR(label(tree_), ErrorKind::kInvalidInput,
               "/source/LOC_val_solution.csv: label file is for other images: none of its 1 names, such as "
               "something_else, is among the 2 of val");
}

TEST_F(LabelingTest, ImagesWithoutAnyLabelAreListed) {
  EXPECT_ERROR(label(tree_), ErrorKind::kInvalidInput,
               "2 of the 2 images of val have no label:\n  ILSVRC2012_val_00000001.JPEG");
  tree_.text("LOC_val_solution.csv", solution({{1, "a"}}));
  EXPECT_ERROR(label(tree_), ErrorKind::kInvalidInput,
               "1 of the 2 images of val have no label:\n  ILSVRC2012_val_00000002.JPEG");
}

TEST_F(LabelingTest, SourcesMayCompleteEachOther) {
  tree_.text("LOC_val_solution.csv", solution({{1, "a"}}));
  add_annotation(2, "b");
  EXPECT_THAT(label(tree_).splits[1].labels, ElementsAre(0, 1));
}

TEST_F(LabelingTest, ValClassThatTrainLacksIsAnError) {
  add_solution("c", "a");
  EXPECT_ERROR(label(tree_), ErrorKind::kInvalidInput,
               "1 of the 2 images of val are of classes that are not in the class folders of train:\n  "
               "ILSVRC2012_val_00000001.JPEG: LOC_val_solution.csv says c");
}

TEST_F(LabelingTest, BuiltInLabelsAreNotAppliedToAnotherSetOfTheSameNames) {
  add_solution("b", "a");
  EXPECT_THAT(
      label(tree_).splits[1].notes,
      ElementsAre(HasSubstr("built-in ILSVRC2012 labels: not applied, because val has 2 images, not the 50,000")));
}

TEST_F(LabelingTest, LabelsOfImagesThatAreNotHereAreCounted) {
  tree_.text("LOC_val_solution.csv", solution({{1, "a"}, {2, "b"}, {3, "a"}}));
  EXPECT_EQ(label(tree_).splits[1].sources[0].others, 1u);
}

TEST(Labeling, SameFileNameInTwoClassesIsTwoImages) {
  ImageTree tree;
  tree.image("train/cat/1.jpg").image("train/dog/1.jpg").image("val/cat/1.jpg").image("val/dog/1.jpg");
  const LabeledSource source = label(tree);
  EXPECT_THAT(source.splits[0].labels, ElementsAre(0, 1));
  EXPECT_THAT(source.splits[1].labels, ElementsAre(0, 1));
}

TEST(Labeling, FlatTestSplitHasNoLabels) {
  ImageTree tree;
  tree.images("train/a", 1).ilsvrc_images("test", "test", 1, 2);
  const LabeledSource source = label(tree);
  EXPECT_FALSE(source.splits[1].labeled);
  EXPECT_THAT(source.splits[1].labels, ElementsAre(kNoLabel, kNoLabel));
}

TEST(Labeling, TestSplitInClassFoldersIsLabeledAndInAWrapperFolderIsNot) {
  ImageTree tree;
  tree.images("train/a", 1).images("train/b", 1).images("test/b", 1);
  EXPECT_THAT(label(tree).splits[1].labels, ElementsAre(1));
  ImageTree wrapped;
  wrapped.images("train/a", 1).ilsvrc_images("test/test", "test", 1, 1);
  EXPECT_FALSE(label(wrapped).splits[1].labeled);
}

TEST(Labeling, FlatTrainingImagesAreAnError) {
  ImageTree tree;
  tree.images("train/a", 1).image("train/stray.jpg").images("val/a", 1);
  EXPECT_ERROR(label(tree), ErrorKind::kInvalidInput,
               "1 training images lie in no class folder, for example stray.jpg");
}

TEST(Labeling, ForcedBuiltInLabelsAreComparedLikeAnyOther) {
  ImageTree tree;
  tree.images("train/n01751748", 1).images("train/n09193705", 1).ilsvrc_images("val", "val", 1, 2);
  EXPECT_THAT(label(tree, {.force_builtin = true}).splits[1].labels, ElementsAre(0, 1));
  tree.text("LOC_val_solution.csv", solution({{1, "n09193705"}, {2, "n09193705"}}));
  EXPECT_ERROR(label(tree, {.force_builtin = true}), ErrorKind::kInvalidInput,
               "LOC_val_solution.csv says n09193705, built-in ILSVRC2012 labels says n01751748");
}

// A validation set of the true size and names, as a scan without files.
SourceScan whole_val(size_t images) {
  SourceScan scan;
  scan.kind = SourceKind::kSplitFolders;
  SourceSplit val;
  val.name = "val";
  for (size_t i = 1; i <= images; ++i) {
    const std::string digits = std::to_string(i);
    val.images.push_back({"ILSVRC2012_val_" + std::string(8 - digits.size(), '0') + digits + ".JPEG", 0, 0, 1});
  }
  scan.splits.push_back(std::move(val));
  return scan;
}

TEST(Labeling, WholeValidationSetAloneTakesTheBuiltInLabels) {
  test::MemoryFileSystem fs;
  const LabeledSource source = label_source(fs, whole_val(50'000));
  EXPECT_TRUE(source.classes.is_ilsvrc);
  ASSERT_EQ(source.splits[0].labels.size(), 50'000u);
  EXPECT_EQ(source.splits[0].labels[0], 65);
  EXPECT_EQ(source.splits[0].labels[49'999], ilsvrc_val_label(50'000));
  EXPECT_EQ(source.splits[0].sources[0].source, "built-in ILSVRC2012 labels");
}

TEST(Labeling, ValidationSetThatLacksOneImageDoesNot) {
  test::MemoryFileSystem fs;
  EXPECT_ERROR(label_source(fs, whole_val(49'999)), ErrorKind::kInvalidInput,
               "49999 of the 49999 images of val have no label");
}

TEST(Labeling, ImagesThatTheListsNameAndTheTreeLacksAreMissing) {
  ImageTree tree;
  tree.images("ILSVRC/Data/CLS-LOC/train/a", 2)
      .text("ILSVRC/ImageSets/CLS-LOC/train_cls.txt", "a/a_0 1\na/a_1 2\na/a_2 3\n");
  const LabeledSource source = label(tree);
  ASSERT_EQ(source.missing.size(), 1u);
  EXPECT_EQ(source.missing[0].split, "train");
  EXPECT_EQ(source.missing[0].expected, 3u);
  EXPECT_EQ(source.missing[0].found, 2u);
  EXPECT_EQ(source.missing[0].missing, 1u);
  EXPECT_THAT(source.missing[0].examples, ElementsAre("a/a_2"));
}

TEST(Labeling, FullImagenetIsCountedWithoutLists) {
  test::MemoryFileSystem fs;
  SourceScan scan = whole_val(50'000);
  SourceSplit train;
  train.name = "train";
  for (const IlsvrcClass& one : ilsvrc_classes()) {
    train.class_folders.emplace_back(one.wnid);
    train.images.push_back({std::string(one.wnid) + "/one.JPEG", 0, 9, 1});
  }
  scan.splits.insert(scan.splits.begin(), std::move(train));
  const LabeledSource source = label_source(fs, std::move(scan));
  ASSERT_EQ(source.missing.size(), 1u);
  EXPECT_EQ(source.missing[0].expected, 1'281'167u);
  EXPECT_EQ(source.missing[0].found, 1'000u);
  EXPECT_EQ(source.missing[0].missing, 1'280'167u);
}

}  // namespace
}  // namespace imgpack::ingest
