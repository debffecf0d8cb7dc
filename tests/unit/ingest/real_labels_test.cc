#include "format/ingest/real_labels.h"

#include <gmock/gmock.h>

#include <fstream>
#include <iterator>

#include "format/ingest/ilsvrc2012.h"
#include "tests/support/expect_error.h"
#include "tests/support/memory_file_system.h"
#include "tests/support/tiny_dataset.h"

namespace imgpack::ingest {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::string rows_text(const std::map<int, std::string>& special) {
  std::string text = "[";
  for (int i = 0; i < 50'000; ++i) {
    const auto at = special.find(i);
    text += (i == 0 ? "" : ", ") + (at == special.end() ? std::string("[]") : at->second);
  }
  return text + "]";
}

TEST(RealLabels, RowsAreSortedAndFreeOfRepeats) {
  const RealRows rows = parse_real_labels(rows_text({{0, "[970, 795, 970]"}, {49'999, "[7]"}}), "real.json");
  ASSERT_EQ(rows.size(), 50'000u);
  EXPECT_THAT(rows[0], ElementsAre(795, 970));
  EXPECT_THAT(rows[1], IsEmpty());
  EXPECT_THAT(rows[49'999], ElementsAre(7));
}

TEST(RealLabels, AnythingElseIsNamed) {
  EXPECT_ERROR(parse_real_labels("[[1]]", "r.json"), ErrorKind::kInvalidInput,
               "r.json: expected one row for each of the 50,000 validation images, found 1");
  EXPECT_ERROR(parse_real_labels("{}", "r.json"), ErrorKind::kInvalidInput, "expected an array of 50,000 arrays");
  EXPECT_ERROR(parse_real_labels("[[1]", "r.json"), ErrorKind::kInvalidInput, "r.json");
  EXPECT_ERROR(parse_real_labels(rows_text({{3, "7"}}), "r.json"), ErrorKind::kInvalidInput, "[3]: expected an array");
  EXPECT_ERROR(parse_real_labels(rows_text({{3, "[1000]"}}), "r.json"), ErrorKind::kInvalidInput,
               "[3]: expected class indices from 0 to 999");
  EXPECT_ERROR(parse_real_labels(rows_text({{3, "[-1]"}}), "r.json"), ErrorKind::kInvalidInput, "[3]: expected class");
}

// A dataset of val images 1 to `count` with their true labels, in classes of which only `classes` exist.
class RealSetTest : public testing::Test {
 protected:
  Dataset dataset(const std::vector<int32_t>& indices, const std::vector<std::pair<int, int32_t>>& images) {
    test::TinyOptions options;
    options.classes.clear();
    for (const int32_t index : indices) {
      const IlsvrcClass& one = ilsvrc_classes()[static_cast<size_t>(index)];
      options.classes.push_back({std::string(one.wnid), std::string(one.names)});
    }
    std::vector<Record> records;
    for (const auto& [number, label] : images)
      records.push_back(
          test::make_record("val", "ILSVRC2012_val_0000000" + std::to_string(number) + ".JPEG", label, "image"));
    test::write_dataset(fs_, "d.shards", {{"val", records, 1, true}}, options);
    return Dataset::open(fs_, "d.shards", ReadNames::kYes);
  }
  static std::vector<int32_t> labels_of(const LabelSet& set, const Dataset& data, int number) {
    const auto& names = data.split("val").columns.names;
    for (size_t i = 0; i < names.size(); ++i)
      if (names[i] == "ILSVRC2012_val_0000000" + std::to_string(number) + ".JPEG") return set.labels[i];
    return {-99};
  }
  test::MemoryFileSystem fs_;
};

TEST_F(RealSetTest, IndicesBecomeLabelsOfTheDatasetByWnid) {
  const Dataset data = dataset({65, 795, 970}, {{1, 0}, {2, 2}});
  const RealRows rows = parse_real_labels(rows_text({{0, "[65, 3]"}, {1, "[970, 795]"}}), "real.json");
  const LabelSet set = make_real_set(data, "val", rows);
  EXPECT_EQ(set.classes, 3u);
  EXPECT_THAT(labels_of(set, data, 1), ElementsAre(0));  // Class 3 is not in this dataset.
  EXPECT_THAT(labels_of(set, data, 2), ElementsAre(1, 2));
  EXPECT_TRUE(add_label_set(fs_, "d.shards", set));
  const Manifest manifest = read_manifest(fs_, "d.shards");
  ASSERT_EQ(manifest.label_sets.size(), 1u);
  EXPECT_EQ(read_label_set(fs_, "d.shards", manifest.label_sets[0]).labels, set.labels);
}

TEST_F(RealSetTest, LabelsOfOtherImagesOfTheSameNamesAreRefused) {
  const Dataset data = dataset({65, 795, 970}, {{1, 0}, {2, 0}, {3, 1}});
  const RealRows rows = parse_real_labels(rows_text({{0, "[970]"}, {1, "[795]"}, {2, "[795]"}}), "real.json");
  EXPECT_ERROR(make_real_set(data, "val", rows), ErrorKind::kInvalidInput,
               "contradict the dataset's own labels on 2 of 3 images of val");
}

TEST_F(RealSetTest, TheTrueFileFitsTheTrueLabels) {
  std::ifstream file(std::string(SHARED_DIR) + "/data/imagenet_real_labels.json");
  if (!file) GTEST_SKIP() << "no ../shared/data/imagenet_real_labels.json on this machine";
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const RealRows rows = parse_real_labels(text, "imagenet_real_labels.json");
  uint64_t judged = 0, agree = 0;
  for (uint32_t number = 1; number <= kIlsvrcValImages; ++number) {
    const auto& row = rows[number - 1];
    if (row.empty()) continue;
    ++judged;
    agree += std::count(row.begin(), row.end(), ilsvrc_val_label(number)) != 0 ? 1 : 0;
  }
  EXPECT_EQ(judged, 46'837u);
  EXPECT_GT(agree * 10, judged * 8);
}

}  // namespace
}  // namespace imgpack::ingest
