#include "format/ingest/class_list.h"

#include <gmock/gmock.h>

#include "format/ingest/ilsvrc2012.h"
#include "tests/support/expect_error.h"

namespace imgpack::ingest {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<std::string> ilsvrc_wnids() {
  std::vector<std::string> wnids;
  for (const IlsvrcClass& one : ilsvrc_classes()) wnids.emplace_back(one.wnid);
  return wnids;
}

std::vector<SynsetLine> mapping_of(const std::vector<std::string>& wnids) {
  std::vector<SynsetLine> lines;
  for (const std::string& wnid : wnids) lines.push_back({wnid, "name of " + wnid});
  return lines;
}

ClassList make(ClassPolicy policy, const std::vector<std::string>& folders,
               const std::vector<SynsetLine>& mapping = {}) {
  return make_class_list(policy, folders, "train", mapping, "LOC_synset_mapping.txt");
}

TEST(ClassList, AnyFoldersAreNumberedInSortedOrder) {
  const ClassList list = make(ClassPolicy::kAuto, {"dog", "Ant", "cat"});
  EXPECT_EQ(list.label_of("Ant"), 0);
  EXPECT_EQ(list.label_of("cat"), 1);
  EXPECT_EQ(list.label_of("dog"), 2);
  EXPECT_EQ(list.label_of("cow"), std::nullopt);
  EXPECT_FALSE(list.is_ilsvrc);
  EXPECT_THAT(list.notes, IsEmpty());
}

TEST(ClassList, TheThousandFoldersTakeTheBuiltInTable) {
  const ClassList list = make(ClassPolicy::kAuto, ilsvrc_wnids());
  EXPECT_TRUE(list.is_ilsvrc);
  EXPECT_EQ(list.classes.size(), 1000u);
  EXPECT_EQ(list.label_of("n01751748"), 65);
  EXPECT_EQ(list.classes[0].names, "tench, Tinca tinca");
}

TEST(ClassList, AFewOfTheThousandAreNumberedByThemselvesAndSaidSo) {
  const ClassList list = make(ClassPolicy::kAuto, {"n01751748", "n01440764"});
  EXPECT_EQ(list.label_of("n01751748"), 1);
  EXPECT_EQ(list.classes[0].names, "tench, Tinca tinca");
  EXPECT_THAT(list.notes, ElementsAre(HasSubstr("2 of the 1,000 ILSVRC2012 classes, numbered 0 to 1 by themselves")));
}

TEST(ClassList, AMissingFolderOfTheThousandIsNoSilentShift) {
  auto folders = ilsvrc_wnids();
  folders.erase(folders.begin() + 7);
  EXPECT_ERROR(
      make(ClassPolicy::kAuto, folders), ErrorKind::kInvalidInput,
      "1 of the 1000 classes of the built-in table of the 1,000 ILSVRC2012 classes have no folder in train: n01514668");
  EXPECT_EQ(make(ClassPolicy::kImagenet, folders).label_of("n15075141"), 999);
  EXPECT_EQ(make(ClassPolicy::kFolders, folders).label_of("n15075141"), 998);
}

TEST(ClassList, MappingNamesAndNumbersTheClasses) {
  const ClassList list = make(ClassPolicy::kAuto, {"a", "b"}, {{"b", "bee"}, {"a", "ant"}});
  EXPECT_EQ(list.origin, "LOC_synset_mapping.txt");
  EXPECT_EQ(list.label_of("b"), 1);
  EXPECT_EQ(list.classes[1].names, "bee");
}

TEST(ClassList, MappingOfTheThousandIsTheBuiltInTable) {
  const ClassList list = make(ClassPolicy::kAuto, ilsvrc_wnids(), mapping_of(ilsvrc_wnids()));
  EXPECT_TRUE(list.is_ilsvrc);
}

TEST(ClassList, FolderThatTheMappingLacksIsAnErrorUnlessFoldersAreChosen) {
  EXPECT_ERROR(make(ClassPolicy::kAuto, {"a", "b", "c"}, mapping_of({"a", "b"})), ErrorKind::kInvalidInput,
               "1 class folders of train are not in the LOC_synset_mapping.txt: c");
  EXPECT_ERROR(make(ClassPolicy::kMapping, {"a", "b", "c"}, mapping_of({"a", "b"})), ErrorKind::kInvalidInput, "c");
  EXPECT_EQ(make(ClassPolicy::kFolders, {"a", "b", "c"}, mapping_of({"a", "b"})).label_of("c"), 2);
}

TEST(ClassList, ClassOfTheMappingWithoutFolderMustBeChosen) {
  EXPECT_ERROR(make(ClassPolicy::kAuto, {"b"}, mapping_of({"a", "b"})), ErrorKind::kInvalidInput,
               "--classes mapping keeps all numbers, --classes folders numbers what is there");
  const ClassList kept = make(ClassPolicy::kMapping, {"b"}, mapping_of({"a", "b"}));
  EXPECT_EQ(kept.label_of("b"), 1);
  EXPECT_THAT(kept.notes, ElementsAre(HasSubstr("1 of the 2 classes")));
  EXPECT_EQ(make(ClassPolicy::kFolders, {"b"}, mapping_of({"a", "b"})).label_of("b"), 0);
}

TEST(ClassList, LongListsAreCutAndCounted) {
  EXPECT_ERROR(make(ClassPolicy::kAuto, {"a", "b", "c", "d", "e", "f", "g"}, mapping_of({"z"})),
               ErrorKind::kInvalidInput, "a, b, c, d, e and 2 more");
}

TEST(ClassList, ChoicesThatCannotBeMadeAreErrors) {
  EXPECT_ERROR(make(ClassPolicy::kMapping, {"a"}), ErrorKind::kInvalidInput, "there is no LOC_synset_mapping.txt");
  EXPECT_ERROR(make(ClassPolicy::kFolders, {}), ErrorKind::kInvalidInput, "there is no class folder");
  EXPECT_ERROR(make(ClassPolicy::kAuto, {"a"}, mapping_of({"a", "a"})), ErrorKind::kInvalidInput,
               "class a is listed twice");
}

}  // namespace
}  // namespace imgpack::ingest
