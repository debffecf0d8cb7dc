// What `imgpack inspect` says of a dataset.
#include "format/inspect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "format/record.h"
#include "tests/support/memory_file_system.h"
#include "tests/support/tiny_dataset.h"

namespace imgpack {
namespace {

using ::testing::HasSubstr;

class Inspect : public ::testing::Test {
 protected:
  Inspect() : manifest_(test::write_tiny_dataset(fs_, "tiny.shards")) {}
  test::MemoryFileSystem fs_;
  Manifest manifest_;
};

TEST_F(Inspect, CountsAndSizesAreThoseOfTheRecords) {
  const DatasetSummary summary = summarize(Dataset::open(fs_, "tiny.shards"));
  ASSERT_EQ(summary.splits.size(), 2u);
  const SplitSummary& train = summary.splits[0];
  uint64_t image_bytes = 0, entropy_bytes = 0, largest = 0, with_entropy = 0, gray = 0;
  for (const Record& record : test::make_records("train", 40)) {
    image_bytes += record.sections[0].bytes.size();
    largest = std::max<uint64_t>(largest, record.sections[0].bytes.size());
    if (record.sections.size() > 1) {
      entropy_bytes += record.sections[1].bytes.size();
      ++with_entropy;
    }
    gray += record.meta.flags & kRecordGray ? 1 : 0;
  }
  EXPECT_EQ(train.records, 40u);
  EXPECT_EQ(train.shards, 3u);
  EXPECT_EQ(train.image_bytes, image_bytes);
  EXPECT_EQ(train.entropy_bytes, entropy_bytes);
  EXPECT_EQ(train.with_entropy_index, with_entropy);
  EXPECT_EQ(train.image_size.most, largest);
  EXPECT_EQ(train.width.median, 500u);
  EXPECT_EQ(train.per_class.least, 13u);
  EXPECT_EQ(train.per_class.most, 14u);
  EXPECT_EQ(train.flags.at("gray"), gray);
  EXPECT_EQ(train.classes_without_records, 0u);
}

TEST_F(Inspect, TextNamesWhatAPersonLooksFor) {
  const std::string text = to_text(summarize(Dataset::open(fs_, "tiny.shards")));
  EXPECT_THAT(text, HasSubstr(manifest_.dataset_id));
  EXPECT_THAT(text, HasSubstr("split train\n  records             40 in 3 shards"));
  EXPECT_THAT(text, HasSubstr("option resize       none"));
  EXPECT_THAT(text, HasSubstr("source source       made up"));
}

TEST_F(Inspect, JsonIsOneObjectWithTheSameNumbers) {
  const auto object = boost::json::parse(to_json(summarize(Dataset::open(fs_, "tiny.shards")))).as_object();
  EXPECT_EQ(object.at("format").as_string(), "imgpack.summary");
  EXPECT_EQ(object.at("dataset_id").as_string(), manifest_.dataset_id);
  const auto& train = object.at("splits").as_array().at(0).as_object();
  EXPECT_EQ(train.at("records").to_number<int>(), 40);
  EXPECT_EQ(train.at("per_class").at("most").to_number<int>(), 14);
}

TEST_F(Inspect, EmptySplitHasZerosNotAnError) {
  test::write_dataset(fs_, "empty.shards", {{"train", {}, 1, true}});
  const DatasetSummary summary = summarize(Dataset::open(fs_, "empty.shards"));
  EXPECT_EQ(summary.splits[0].records, 0u);
  EXPECT_EQ(summary.splits[0].classes_without_records, 3u);
  EXPECT_THAT(to_text(summary), HasSubstr("classes without any 3"));
}

}  // namespace
}  // namespace imgpack
