#include "format/ingest/devkit.h"

#include <gmock/gmock.h>

#include <set>

#include "format/ingest/ilsvrc2012.h"
#include "tests/support/expect_error.h"

namespace imgpack::ingest {
namespace {

using testing::ElementsAre;
using testing::Pair;
using testing::UnorderedElementsAre;

// Ids as the devkit counts them: any order of the classes that is not the sorted one will do.
uint32_t devkit_id(int32_t label) {
  return static_cast<uint32_t>(label * 7 % 1000) + 1;
}

std::vector<uint32_t> whole_file() {
  std::vector<uint32_t> ids;
  for (uint32_t number = 1; number <= kIlsvrcValImages; ++number) ids.push_back(devkit_id(ilsvrc_val_label(number)));
  return ids;
}

TEST(GroundTruth, IsOneIdPerLine) {
  EXPECT_THAT(parse_ground_truth("490\r\n361\n\n171\n", "g.txt"), ElementsAre(490, 361, 171));
  EXPECT_ERROR(parse_ground_truth("490\n0\n", "g.txt"), ErrorKind::kInvalidInput,
               "g.txt: line 2: expected an id from 1");
  EXPECT_ERROR(parse_ground_truth("4 9\n", "g.txt"), ErrorKind::kInvalidInput, "line 1: expected an id");
  EXPECT_ERROR(parse_ground_truth("\n", "g.txt"), ErrorKind::kInvalidInput, "file is empty");
}

TEST(IdMap, IsReadFromWhateverColumnsThereAre) {
  EXPECT_THAT(parse_id_map("n02119789 1 kit_fox\nn02100735 2 English_setter\n", "map_clsloc.txt"),
              UnorderedElementsAre(Pair(1, "n02119789"), Pair(2, "n02100735")));
  EXPECT_THAT(parse_id_map("ILSVRC2012_ID,WNID,words\n490,n01751748,\"sea snake\"\n", "meta.csv"),
              UnorderedElementsAre(Pair(490, "n01751748")));
}

TEST(IdMap, ThatIsNotOneToOneIsRefused) {
  EXPECT_ERROR(parse_id_map("1 n00000001\n1 n00000002\n", "m"), ErrorKind::kInvalidInput,
               "line 2: the map is not one-");
  EXPECT_ERROR(parse_id_map("1 n00000001\n2 n00000001\n", "m"), ErrorKind::kInvalidInput,
               "line 2: the map is not one-");
  EXPECT_ERROR(parse_id_map("1 n00000001\n2 fox\n", "m"), ErrorKind::kInvalidInput,
               "line 2: expected an id and a WNID");
}

TEST(DerivedMap, IsTheOneToOneMapThatTheFileProves) {
  const IdMap map = derive_id_map(whole_file(), "g.txt");
  ASSERT_EQ(map.size(), 1000u);
  std::set<std::string> wnids;
  for (const auto& [id, wnid] : map) {
    EXPECT_EQ(devkit_id(*ilsvrc_label(wnid)), id);
    wnids.insert(wnid);
  }
  EXPECT_EQ(wnids.size(), 1000u);
  // Never the id itself, nor the id less one.
  EXPECT_EQ(ilsvrc_label(map.at(devkit_id(65))), 65);
  EXPECT_NE(devkit_id(65), 66u);
}

TEST(DerivedMap, AWrongLineIsADisagreementNotAnotherMap) {
  std::vector<uint32_t> ids = whole_file();
  const uint32_t right = ids[0];
  ids[0] = right == 1 ? 2 : 1;
  const IdMap map = derive_id_map(ids, "g.txt");
  const LabelTable table = ground_truth_table(ids, map, "d/g.txt", "the built-in labels");
  EXPECT_EQ(table.source, "g.txt (ids by the built-in labels)");
  EXPECT_EQ(table.class_of.at("ILSVRC2012_val_00000002"), builtin_val_labels().class_of.at("ILSVRC2012_val_00000002"));
  EXPECT_NE(table.class_of.at("ILSVRC2012_val_00000001"), builtin_val_labels().class_of.at("ILSVRC2012_val_00000001"));
}

TEST(DerivedMap, IsRefusedForAnotherSetsIds) {
  EXPECT_ERROR(derive_id_map({490, 361}, "g.txt"), ErrorKind::kInvalidInput,
               "expected the 50,000 lines of ILSVRC2012, found 2");
  std::vector<uint32_t> merged = whole_file();
  for (uint32_t& id : merged) id = id == 2 ? 1 : id;
  EXPECT_ERROR(derive_id_map(merged, "g.txt"), ErrorKind::kInvalidInput, "expected 1000 different ones, found 999");
  std::vector<uint32_t> split = whole_file();
  bool odd = false;
  for (uint32_t& id : split) {
    if (id == 5 && (odd = !odd)) id = 1001;
  }
  EXPECT_ERROR(derive_id_map(split, "g.txt"), ErrorKind::kInvalidInput,
               "5 and 1001 both stand where the built-in labels");
  std::vector<uint32_t> shuffled(kIlsvrcValImages);
  for (uint32_t i = 0; i < shuffled.size(); ++i) shuffled[i] = i % 1000 + 1;
  EXPECT_ERROR(derive_id_map(shuffled, "g.txt"), ErrorKind::kInvalidInput, "ids are not those of ILSVRC2012");
}

TEST(GroundTruth, IdThatTheMapLacksIsNamed) {
  EXPECT_ERROR(ground_truth_table({7, 8}, {{7, "n00000001"}}, "g.txt", "meta.csv"), ErrorKind::kInvalidInput,
               "g.txt: line 2: id 8 is not in meta.csv");
}

}  // namespace
}  // namespace imgpack::ingest
