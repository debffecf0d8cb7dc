// What repair makes anew from a source has to be what the build made of it.
#include "format/ingest/source_records.h"

#include <gmock/gmock.h>

#include <set>
#include <string>
#include <utility>

#include "format/ingest/folder_source.h"
#include "format/ingest/pack_plan.h"
#include "format/record.h"
#include "tests/support/image_tree.h"

namespace imgpack::ingest {
namespace {

using testing::HasSubstr;

class SourceRecordsOfATree : public testing::Test {
 protected:
  SourceRecordsOfATree() {
    tree_.images("train/n01", 3).images("train/n02", 2).text("train/n02/broken.JPEG", "no picture");
    source_ = label_source(tree_.fs, scan_folder(tree_.fs, test::kTreeRoot));
    reader_ = make_folder_reader(tree_.fs, test::kTreeRoot);
  }

  test::ImageTree tree_;
  LabeledSource source_;
  std::unique_ptr<ImageReader> reader_;
};

TEST_F(SourceRecordsOfATree, AnImageComesBackWithItsLabelAndBytes) {
  SourceRecords records(source_, *reader_, {});
  const auto made = records.make("train", "n02/n02_1.JPEG");
  const auto* record = std::get_if<Record>(&made);
  ASSERT_NE(record, nullptr) << std::get<std::string>(made);
  EXPECT_EQ(record->meta.label, 1);
  ASSERT_FALSE(record->sections.empty());
  const std::string file = tree_.fs.bytes(std::string(test::kTreeRoot) + "/train/n02/n02_1.JPEG");
  const auto& image = record->sections.front().bytes;
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(image.data()), image.size()), file);
  EXPECT_EQ(records.classes().size(), 2u);
}

TEST_F(SourceRecordsOfATree, WhatCannotBeMadeSaysWhy) {
  SourceRecords records(source_, *reader_, {});
  const auto why = [&](const char* split, const char* name) {
    return std::get<std::string>(records.make(split, name));
  };
  EXPECT_THAT(why("val", "n01/n01_0.JPEG"), HasSubstr("no split val"));
  EXPECT_THAT(why("train", "n01/n01_9.JPEG"), HasSubstr("no such image"));
  EXPECT_THAT(why("train", "n02/broken.JPEG"), HasSubstr("expected an image"));
}

// Every name of the source in exactly one of the shards, and in that of its key.
TEST_F(SourceRecordsOfATree, NamesAreThoseOfTheShardOfTheirKey) {
  SourceRecords records(source_, *reader_, {});
  NotedRecords noted(source_);
  std::multiset<std::string> seen;
  for (uint32_t number = 0; number < 4; ++number) {
    const ShardHeader shard{"train", number, 4, 7, 0};
    const auto names = records.names(shard);
    EXPECT_EQ(noted.names(shard), names);
    for (const std::string& name : names) {
      EXPECT_EQ(shard_of_key(order_key(7, "train", name), 4), number);
      seen.insert(name);
    }
  }
  EXPECT_EQ(seen.size(), 6u);
  EXPECT_EQ(std::set<std::string>(seen.begin(), seen.end()).size(), 6u);
  EXPECT_TRUE(records.names({"val", 0, 1, 7, 0}).empty());
}

TEST_F(SourceRecordsOfATree, NotedRecordsRememberWhatWasAskedFor) {
  NotedRecords noted(source_);
  EXPECT_THAT(std::get<std::string>(noted.make("train", "n01/n01_0.JPEG")), HasSubstr("not read yet"));
  EXPECT_EQ(noted.noted(), (WantedImages{{"train", "n01/n01_0.JPEG"}}));
  EXPECT_EQ(noted.classes().size(), 2u);
}

TEST(SourceClasses, HaveClassesAndNoRecord) {
  SourceClasses classes(std::vector<ClassInfo>{{"n01", "tench"}});
  EXPECT_TRUE(classes.names({"train", 0, 1, 7, 0}).empty());
  EXPECT_THAT(std::get<std::string>(classes.make("train", "a")), HasSubstr("options"));
  EXPECT_EQ(classes.classes().front().wnid, "n01");
}

}  // namespace
}  // namespace imgpack::ingest
