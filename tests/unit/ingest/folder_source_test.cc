#include "format/ingest/folder_source.h"

#include <gmock/gmock.h>

#include "tests/support/expect_error.h"
#include "tests/support/image_tree.h"

namespace imgpack::ingest {
namespace {

using test::ImageTree;
using test::kTreeRoot;
using testing::ElementsAre;

std::vector<std::string> names(const SourceSplit& split) {
  std::vector<std::string> names;
  for (const SourceImage& image : split.images) names.emplace_back(image.name());
  return names;
}

std::vector<std::string> split_names(const SourceScan& scan) {
  std::vector<std::string> names;
  for (const SourceSplit& split : scan.splits) names.push_back(split.name);
  return names;
}

void fill_kaggle(ImageTree& tree) {
  tree.images("ILSVRC/Data/CLS-LOC/train/n01", 2).images("ILSVRC/Data/CLS-LOC/train/n02", 1);
  tree.ilsvrc_images("ILSVRC/Data/CLS-LOC/val", "val", 1, 2).ilsvrc_images("ILSVRC/Data/CLS-LOC/test", "test", 1, 1);
  tree.text("LOC_val_solution.csv", "").text("ILSVRC/ImageSets/CLS-LOC/val.txt", "");
}

TEST(FolderSource, KaggleTreeIsRecognisedWhateverPartOfItIsNamed) {
  for (const char* part : {"", "ILSVRC", "ILSVRC/Data", "ILSVRC/Data/CLS-LOC", "ILSVRC/Data/CLS-LOC/"}) {
    ImageTree tree;
    fill_kaggle(tree);
    const SourceScan scan = scan_folder(tree.fs, std::filesystem::path(kTreeRoot) / part);
    EXPECT_EQ(scan.kind, SourceKind::kKaggle) << part;
    EXPECT_EQ(scan.root, kTreeRoot) << part;
    EXPECT_THAT(split_names(scan), ElementsAre("train", "val", "test"));
    EXPECT_THAT(names(scan.splits[0]), ElementsAre("n01/n01_0.JPEG", "n01/n01_1.JPEG", "n02/n02_0.JPEG"));
    EXPECT_EQ(scan.splits[0].folder, "ILSVRC/Data/CLS-LOC/train");
    EXPECT_THAT(scan.splits[0].class_folders, ElementsAre("n01", "n02"));
    EXPECT_THAT(names(scan.splits[1]), ElementsAre("ILSVRC2012_val_00000001.JPEG", "ILSVRC2012_val_00000002.JPEG"));
    EXPECT_EQ(scan.splits[1].flat_images(), 2u);
    EXPECT_EQ(scan.label_folders.front(), kTreeRoot);
  }
}

TEST(FolderSource, KaggleTreeIsFoundBelowTheFolderNamed) {
  ImageTree tree;
  tree.images("download/here/ILSVRC/Data/CLS-LOC/train/n01", 1).text("download/readme.txt", "");
  const SourceScan scan = scan_folder(tree.fs, kTreeRoot);
  EXPECT_EQ(scan.kind, SourceKind::kKaggle);
  EXPECT_EQ(scan.root, std::filesystem::path(kTreeRoot) / "download/here");
}

TEST(FolderSource, ReferenceLayoutIsFoundInItsFolder) {
  ImageTree tree;
  tree.images("imagenet/train/n01", 1).images("imagenet/val/n01", 1).ilsvrc_images("imagenet/test", "test", 1, 3);
  const SourceScan scan = scan_folder(tree.fs, kTreeRoot);
  EXPECT_EQ(scan.kind, SourceKind::kSplitFolders);
  EXPECT_EQ(scan.root, std::filesystem::path(kTreeRoot) / "imagenet");
  EXPECT_THAT(split_names(scan), ElementsAre("train", "val", "test"));
}

TEST(FolderSource, ClassFoldersAloneAreATrainSplit) {
  ImageTree tree;
  tree.images("cat", 2).images("dog/puppies", 1);
  const SourceScan scan = scan_folder(tree.fs, kTreeRoot);
  EXPECT_EQ(scan.kind, SourceKind::kClassFolders);
  ASSERT_THAT(split_names(scan), ElementsAre("train"));
  EXPECT_THAT(names(scan.splits[0]), ElementsAre("cat/cat_0.JPEG", "cat/cat_1.JPEG", "dog/puppies/puppies_0.JPEG"));
  EXPECT_THAT(scan.splits[0].class_folders, ElementsAre("cat", "dog"));
}

TEST(FolderSource, AClassCalledTrainIsAClassAmongOthers) {
  ImageTree tree;
  tree.images("bus", 1).images("car", 1).images("train", 1);
  const SourceScan scan = scan_folder(tree.fs, kTreeRoot);
  EXPECT_EQ(scan.kind, SourceKind::kClassFolders);
  EXPECT_THAT(scan.splits[0].class_folders, ElementsAre("bus", "car", "train"));
}

TEST(FolderSource, PreparedValidationSetKeepsTheNamesOfTheFlatOne) {
  ImageTree tree;
  tree.images("train/n01", 1).images("train/n02", 1);
  tree.ilsvrc_images("val/n02", "val", 1, 1).ilsvrc_images("val/n01", "val", 2, 2);
  const SourceScan scan = scan_folder(tree.fs, kTreeRoot);
  EXPECT_THAT(names(scan.splits[1]), ElementsAre("ILSVRC2012_val_00000001.JPEG", "ILSVRC2012_val_00000002.JPEG"));
  EXPECT_EQ(scan.splits[1].images[0].class_folder(), "n02");
}

TEST(FolderSource, OtherFilesAndFoldersAreCountedAndNamed) {
  ImageTree tree;
  tree.images("train/n01", 1)
      .text("train/n01/._n01_0.JPEG", "x")
      .text("train/notes.txt", "x")
      .folder("devkit")
      .images("val/n01", 1);
  const SourceScan scan = scan_folder(tree.fs, kTreeRoot);
  EXPECT_EQ(scan.ignored_files, 2u);
  EXPECT_THAT(scan.ignored_examples, testing::UnorderedElementsAre("n01/._n01_0.JPEG", "notes.txt"));
  EXPECT_THAT(scan.ignored_folders, ElementsAre("devkit"));
}

TEST(FolderSource, EmptyClassFolderIsAnError) {
  ImageTree tree;
  tree.images("train/n01", 1).folder("train/n02").images("val/n01", 1);
  EXPECT_ERROR(scan_folder(tree.fs, kTreeRoot), ErrorKind::kInvalidInput,
               "/source/train/n02: class folder has no image");
}

TEST(FolderSource, FolderWithoutImagesIsAnError) {
  ImageTree tree;
  tree.text("readme.txt", "x");
  EXPECT_ERROR(scan_folder(tree.fs, kTreeRoot), ErrorKind::kInvalidInput,
               "/source: no image found: expected ILSVRC/Data/CLS-LOC");
}

TEST(FolderSource, AbsentFolderIsAnError) {
  ImageTree tree;
  EXPECT_ERROR(scan_folder(tree.fs, "/nowhere"), ErrorKind::kIo, "/nowhere: no such folder");
}

TEST(FolderSource, SeveralSetsMustBeNamedApart) {
  ImageTree tree;
  tree.images("a/train/n01", 1).images("a/val/n01", 1).images("b/train/n01", 1).images("b/val/n01", 1);
  EXPECT_ERROR(scan_folder(tree.fs, kTreeRoot), ErrorKind::kInvalidInput,
               "several image sets lie here: expected one, found /source/a, /source/b");
}

TEST(FolderSource, TwoFilesForOneImageAreAnError) {
  ImageTree tree;
  tree.images("train/n01", 1).ilsvrc_images("val", "val", 1, 1).ilsvrc_images("val/n01", "val", 1, 1);
  EXPECT_ERROR(scan_folder(tree.fs, kTreeRoot), ErrorKind::kInvalidInput, "two files for one image: ");
}

TEST(FolderSource, TwoFoldersForOneSplitAreAnError) {
  ImageTree tree;
  tree.images("train/n01", 1).images("val/n01", 1).images("valid/n01", 1);
  EXPECT_ERROR(scan_folder(tree.fs, kTreeRoot), ErrorKind::kInvalidInput, "two folders for one split: val and valid");
}

TEST(FolderSource, ReaderGivesTheBytesOfTheFile) {
  ImageTree tree;
  tree.images("cat", 1);
  const SourceScan scan = scan_folder(tree.fs, kTreeRoot);
  const auto reader = make_folder_reader(tree.fs, scan.root);
  const auto bytes = reader->read(scan.splits[0], scan.splits[0].images[0]);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()),
            tree.fs.bytes("/source/cat/cat_0.JPEG"));
  tree.fs.remove("/source/cat/cat_0.JPEG");
  EXPECT_ERROR(reader->read(scan.splits[0], scan.splits[0].images[0]), ErrorKind::kIo, "/source/cat/cat_0.JPEG");
}

}  // namespace
}  // namespace imgpack::ingest
