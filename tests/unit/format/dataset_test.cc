// Dataset: manifest and dataset index, opened together.
#include "format/dataset.h"

#include <gtest/gtest.h>

#include "format/error.h"
#include "format/shard_reader.h"
#include "tests/support/expect_error.h"
#include "tests/support/memory_file_system.h"
#include "tests/support/tiny_dataset.h"

namespace imgpack {
namespace {

using test::MemoryFileSystem;

class OpenDataset : public ::testing::Test {
 protected:
  OpenDataset() : manifest_(test::write_tiny_dataset(fs_, folder_)) {}

  MemoryFileSystem fs_;
  std::filesystem::path folder_ = "tiny.shards";
  Manifest manifest_;
};

TEST_F(OpenDataset, ColumnsAreThoseOfTheShardsInOrder) {
  const Dataset dataset = Dataset::open(fs_, folder_, ReadNames::kYes);
  for (const SplitInfo& info : manifest_.splits) {
    const SplitView& view = dataset.split(info.name);
    ASSERT_EQ(view.records(), info.records);
    ASSERT_EQ(view.first_record.size(), info.shards.size() + 1);
    uint64_t at = 0;
    for (uint32_t s = 0; s < info.shards.size(); ++s) {
      const ShardReader reader(fs_, dataset.shard_path(info.name, s));
      EXPECT_EQ(view.first_record[s], at);
      for (uint64_t i = 0; i < reader.records(); ++i, ++at) {
        EXPECT_EQ(view.columns.id[at], reader.columns().id[i]);
        EXPECT_EQ(view.columns.record_bytes[at], reader.columns().record_bytes[i]);
        EXPECT_EQ(view.columns.image_bytes[at], reader.columns().image_bytes[i]);
        EXPECT_EQ(view.columns.entropy_bytes[at], reader.columns().entropy_bytes[i]);
        EXPECT_EQ(view.columns.label[at], reader.columns().label[i]);
        EXPECT_EQ(view.columns.width[at], reader.columns().width[i]);
        EXPECT_EQ(view.columns.height[at], reader.columns().height[i]);
        EXPECT_EQ(view.columns.flags[at], reader.columns().flags[i]);
        EXPECT_EQ(view.columns.names[at], reader.columns().names[i]);
        EXPECT_EQ(view.shard[at], s);
        EXPECT_EQ(view.offset[at], reader.offsets()[i]);
      }
    }
    EXPECT_EQ(view.first_record.back(), at);
  }
}

TEST_F(OpenDataset, NamesAreLeftOutUnlessAskedFor) {
  EXPECT_TRUE(Dataset::open(fs_, folder_).split("train").columns.names.empty());
  EXPECT_EQ(Dataset::open(fs_, folder_, ReadNames::kYes).split("train").columns.names.size(), 40u);
}

TEST_F(OpenDataset, UnknownSplitListsWhatThereIs) {
  const Dataset dataset = Dataset::open(fs_, folder_);
  EXPECT_TRUE(dataset.has_split("val"));
  EXPECT_FALSE(dataset.has_split("test"));
  EXPECT_ERROR(dataset.split("test"), ErrorKind::kInvalidInput, "expected one of: train, val");
}

TEST_F(OpenDataset, FolderWithoutManifestIsNoDataset) {
  fs_.remove(folder_ / kManifestFile);
  EXPECT_ERROR(Dataset::open(fs_, folder_), ErrorKind::kIo, "there is no dataset here");
}

TEST_F(OpenDataset, MissingIndexIsDamage) {
  fs_.remove(folder_ / manifest_.index_file);
  EXPECT_ERROR(Dataset::open(fs_, folder_), ErrorKind::kCorruption, "dataset index is missing");
}

TEST_F(OpenDataset, IndexOfAnotherDatasetIsDamage) {
  test::TinyOptions other;
  std::vector<Record> train = test::make_records("train", 40);
  train[3].meta.width = 501;  // Nothing that changes the index's length.
  test::write_dataset(fs_, "other.shards", {{"train", train, 3, true}, {"val", test::make_records("val", 6), 1, true}},
                      other);
  fs_.set_bytes(folder_ / kDatasetIndexFile, fs_.bytes(std::filesystem::path("other.shards") / kDatasetIndexFile));
  EXPECT_ERROR(Dataset::open(fs_, folder_), ErrorKind::kCorruption, "dataset index");
}

TEST_F(OpenDataset, LabelOutsideTheClassesIsDamage) {
  test::TinyOptions two_classes;
  two_classes.classes.pop_back();
  test::write_dataset(fs_, "other.shards", {{"train", test::make_records("train", 9), 1, true}}, two_classes);
  EXPECT_ERROR(Dataset::open(fs_, "other.shards"), ErrorKind::kCorruption, "label out of range");
}

TEST_F(OpenDataset, UnlabeledSplitOpens) {
  std::vector<Record> records;
  for (int i = 0; i < 5; ++i)
    records.push_back(
        test::make_record("test", "ILSVRC2012_test_0000000" + std::to_string(i) + ".JPEG", kNoLabel, "x"));
  test::write_dataset(fs_, "test.shards", {{"test", records, 2, false}});
  const Dataset dataset = Dataset::open(fs_, "test.shards", ReadNames::kYes);
  EXPECT_EQ(dataset.split("test").records(), 5u);
  EXPECT_EQ(dataset.split("test").columns.label[0], kNoLabel);
}

}  // namespace
}  // namespace imgpack
