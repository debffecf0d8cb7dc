#include "format/diff.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "format/dataset.h"
#include "tests/support/damage.h"
#include "tests/support/expect_error.h"
#include "tests/support/memory_file_system.h"
#include "tests/support/tiny_dataset.h"

namespace imgpack {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class DiffTest : public testing::Test {
 protected:
  static std::vector<Record> train() { return test::make_records("train", 12); }
  void write(const std::string& folder, std::vector<Record> records, uint32_t shards = 1, uint64_t seed = 7) {
    test::TinyOptions options;
    options.seed = seed;
    test::write_dataset(fs_, folder, {{"train", std::move(records), shards, true}}, options);
  }
  DatasetDiff diff() {
    return diff_datasets(fs_, Dataset::open(fs_, "a", ReadNames::kYes), Dataset::open(fs_, "b", ReadNames::kYes));
  }
  std::vector<std::string> lines() {
    std::vector<std::string> text;
    for (const Difference& one : diff().differences) text.push_back(to_text(one));
    return text;
  }
  test::MemoryFileSystem fs_;
};

TEST_F(DiffTest, ShardsAndEntropyIndexesAreNoContent) {
  std::vector<Record> bare = train();
  for (Record& record : bare)
    std::erase_if(record.sections, [](const Section& s) { return s.type == SectionType::kEntropyIndex; });
  write("a", train(), 1);
  write("b", bare, 4);
  const DatasetDiff result = diff();
  EXPECT_TRUE(result.same_content());
  EXPECT_EQ(result.same, 12u);
  EXPECT_EQ(result.first_id, result.second_id);
}

TEST_F(DiffTest, EveryKindOfDifferenceIsNamed) {
  std::vector<Record> other = train();
  const std::string relabeled = other[0].meta.name, changed = other[1].meta.name, resized = other[2].meta.name,
                    gone = other[3].meta.name;
  other[0].meta.label = (other[0].meta.label + 1) % 3;
  other[1].sections[0].bytes[0] ^= std::byte{1};  // The same length: only the checksum tells.
  other[2].sections[0].bytes.resize(5);
  other.erase(other.begin() + 3);
  other.push_back(test::make_record("train", "n01440764/new.JPEG", 0, "x"));
  write("a", train());
  write("b", other);
  const DatasetDiff result = diff();
  EXPECT_FALSE(result.same_content());
  EXPECT_THAT(result.facts, IsEmpty());
  EXPECT_EQ(result.labels, 1u);
  EXPECT_EQ(result.images, 2u);
  EXPECT_EQ(result.only_in_first, 1u);
  EXPECT_EQ(result.only_in_second, 1u);
  EXPECT_EQ(result.same, 8u);
  const auto text = lines();
  ASSERT_EQ(text.size(), 5u);
  const auto has = [&](const std::string& part) {
    return std::any_of(text.begin(), text.end(), [&](const std::string& one) { return one.find(part) == 0; });
  };
  EXPECT_TRUE(has("label  train/" + relabeled + ": "));
  EXPECT_TRUE(has("image  train/" + changed + ": "));
  EXPECT_TRUE(has("image  train/" + resized + ": "));
  EXPECT_TRUE(has("< train/" + gone));
  EXPECT_TRUE(has("> train/n01440764/new.JPEG"));
}

TEST_F(DiffTest, AnotherSeedIsADifferenceOfTheWholeNotOfItsRecords) {
  write("a", train(), 2, 7);
  write("b", train(), 2, 8);
  const DatasetDiff result = diff();
  EXPECT_THAT(result.facts, ElementsAre("seed of the order: 7 and 8"));
  EXPECT_EQ(result.same, 12u);
}

TEST_F(DiffTest, SplitsOfOnlyOneAreCounted) {
  write("a", train());
  test::write_dataset(fs_, "b", {{"train", train(), 1, true}, {"val", test::make_records("val", 5), 1, true}});
  const DatasetDiff result = diff();
  EXPECT_THAT(result.facts, ElementsAre("split val: only in the second"));
  EXPECT_EQ(result.only_in_second, 5u);
}

TEST_F(DiffTest, DamagedRecordHeaderIsAnErrorNotADifference) {
  std::vector<Record> other = train();
  other[0].meta.label = (other[0].meta.label + 1) % 3;
  write("a", train());
  write("b", other);
  test::flip_bit(fs_, "a/train-00000.ipk", 130);
  EXPECT_ERROR(diff(), ErrorKind::kCorruption, "train-00000.ipk@128: record header is damaged");
}

}  // namespace
}  // namespace imgpack
