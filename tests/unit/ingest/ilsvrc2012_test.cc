#include "format/ingest/ilsvrc2012.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "format/file.h"
#include "format/ingest/csv_reader.h"

namespace imgpack::ingest {
namespace {

TEST(Ilsvrc2012, ClassesAreSortedAndKnownByTheirWnid) {
  const auto classes = ilsvrc_classes();
  ASSERT_EQ(classes.size(), 1000u);
  EXPECT_TRUE(
      std::is_sorted(classes.begin(), classes.end(), [](const auto& a, const auto& b) { return a.wnid < b.wnid; }));
  EXPECT_EQ(classes[0].wnid, "n01440764");
  EXPECT_EQ(classes[0].names, "tench, Tinca tinca");
  EXPECT_EQ(ilsvrc_label("n01751748"), 65);  // Where the devkit's id 490 must lead.
  EXPECT_EQ(ilsvrc_label("n15075141"), 999);
  EXPECT_EQ(ilsvrc_label("n90000001"), std::nullopt);
}

TEST(Ilsvrc2012, EveryClassHasFiftyValidationImages) {
  std::array<int, 1000> count{};
  for (uint32_t number = 1; number <= kIlsvrcValImages; ++number) {
    const int32_t label = ilsvrc_val_label(number);
    ASSERT_GE(label, 0);
    ASSERT_LT(label, 1000);
    ++count[static_cast<size_t>(label)];
  }
  EXPECT_TRUE(std::all_of(count.begin(), count.end(), [](int n) { return n == 50; }));
}

TEST(Ilsvrc2012, NumbersOutsideTheSetAreNone) {
  EXPECT_EQ(ilsvrc_val_number("ILSVRC2012_val_00050000.JPEG"), 50'000u);
  EXPECT_EQ(ilsvrc_val_number("ILSVRC2012_val_00000001"), 1u);
  EXPECT_EQ(ilsvrc_val_number("ILSVRC2012_val_00000000"), std::nullopt);
  EXPECT_EQ(ilsvrc_val_number("ILSVRC2012_val_00050001"), std::nullopt);
  EXPECT_EQ(ilsvrc_val_number("ILSVRC2012_test_00000001"), std::nullopt);
}

// The facts as they were gathered, where they are at hand.
class Ilsvrc2012Facts : public testing::Test {
 protected:
  void SetUp() override {
    if (!posix_file_system().exists(SHARED_DIR "/data/ilsvrc2012_synsets.csv")) {
      GTEST_SKIP() << SHARED_DIR "/data/ilsvrc2012_synsets.csv is not here";
    }
  }
  static std::string text(const std::string& name) {
    return read_text(posix_file_system(), SHARED_DIR "/data/" + name, 1 << 24);
  }
};

TEST_F(Ilsvrc2012Facts, BuiltInClassesEqualTheTable) {
  const std::string csv = text("ilsvrc2012_synsets.csv");
  CsvReader rows(csv, ',', "synsets");
  std::vector<std::string> row;
  ASSERT_TRUE(rows.next(row));
  for (const IlsvrcClass& one : ilsvrc_classes()) {
    ASSERT_TRUE(rows.next(row));
    EXPECT_EQ(one.wnid, row[1]);
    EXPECT_EQ(one.names, row[2]);
  }
  EXPECT_FALSE(rows.next(row));
}

TEST_F(Ilsvrc2012Facts, BuiltInLabelsEqualTheTable) {
  const std::string csv = text("ilsvrc2012_val_wnids.csv");
  CsvReader rows(csv, ',', "labels");
  std::vector<std::string> row;
  ASSERT_TRUE(rows.next(row));
  uint32_t images = 0;
  while (rows.next(row)) {
    const auto number = ilsvrc_val_number(row[0]);
    ASSERT_TRUE(number) << row[0];
    ASSERT_EQ(ilsvrc_val_label(*number), ilsvrc_label(row[1])) << row[0];
    ++images;
  }
  EXPECT_EQ(images, kIlsvrcValImages);
}

}  // namespace
}  // namespace imgpack::ingest
