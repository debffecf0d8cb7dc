#include "format/ingest/label_table.h"

#include <gmock/gmock.h>

#include "tests/support/expect_error.h"
#include "tests/support/memory_file_system.h"

namespace imgpack::ingest {
namespace {

using testing::ElementsAre;
using testing::Pair;
using testing::UnorderedElementsAre;

TEST(LocSolution, TakesTheFirstClassOfEveryRowInAnyOrder) {
  const LabelTable table = parse_loc_solution(
      "ImageId,PredictionString\r\n"
      "ILSVRC2012_val_00048981,n03995372 85 1 499 272 \r\n"
      "ILSVRC2012_val_00000002.JPEG,n09193705 1 2 3 4 n09193705 5 6 7 8\n"
      "\"ILSVRC2012_val_00000001\",\"n01751748 0 0 9 9\"\n",
      "LOC_val_solution.csv");
  EXPECT_EQ(table.source, "LOC_val_solution.csv");
  EXPECT_THAT(table.class_of, UnorderedElementsAre(Pair("ILSVRC2012_val_00048981", "n03995372"),
                                                   Pair("ILSVRC2012_val_00000002", "n09193705"),
                                                   Pair("ILSVRC2012_val_00000001", "n01751748")));
}

TEST(LocSolution, WrongHeaderIsNamed) {
  EXPECT_ERROR(parse_loc_solution("id,label\na,b\n", "x.csv"), ErrorKind::kInvalidInput,
               "x.csv: line 1: expected the header ImageId,PredictionString, found 'id'");
  EXPECT_ERROR(parse_loc_solution("", "x.csv"), ErrorKind::kInvalidInput, "file is empty");
}

TEST(LocSolution, BadRowsAreNamedByTheirLine) {
  const auto with_row = [](const std::string& row) {
    return parse_loc_solution("ImageId,PredictionString\n" + row + "\n", "x.csv");
  };
  EXPECT_ERROR(with_row("a,b,c"), ErrorKind::kInvalidInput, "line 2: expected 2 columns, found 3");
  EXPECT_ERROR(with_row("a,"), ErrorKind::kInvalidInput, "line 2: expected a WNID and a box after a, found ''");
  EXPECT_ERROR(with_row("a,../x 1 2 3 4"), ErrorKind::kInvalidInput, "line 2: expected a WNID");
  EXPECT_ERROR(with_row(",n01"), ErrorKind::kInvalidInput, "line 2: ImageId is empty");
  EXPECT_ERROR(with_row("a,n01\na,n02"), ErrorKind::kInvalidInput, "line 3: a has two classes, n01 and n02");
}

std::string voc(const std::string& objects) {
  return "<annotation><folder>val</folder><filename>x</filename><size><width>1</width></size>" + objects +
         "</annotation>";
}

TEST(AnnotationXml, ClassIsTheNameOfTheFirstObject) {
  EXPECT_EQ(parse_annotation(voc("<object><name>n01751748</name><bndbox/></object><object><name>n02</name></object>"),
                             "a.xml"),
            "n01751748");
  EXPECT_EQ(parse_annotation("<?xml version=\"1.0\"?>\n" +
                                 voc("\n\t<object>\n\t\t<pose>x</pose>\n\t\t<name>n01</name>\n\t</object>\n"),
                             "a.xml"),
            "n01");
}

TEST(AnnotationXml, NameOfAPartOrOfTheFileIsNoClass) {
  EXPECT_EQ(
      parse_annotation(
          "<annotation><name>file</name><object><part><name>leg</name></part><name>n01</name></object></annotation>",
          "a.xml"),
      "n01");
}

TEST(AnnotationXml, WithoutObjectOrDamagedIsAnError) {
  EXPECT_ERROR(parse_annotation(voc(""), "a.xml"), ErrorKind::kInvalidInput, "a.xml: annotation names no object");
  EXPECT_ERROR(parse_annotation(voc("<object><name>n01</name>"), "a.xml"), ErrorKind::kInvalidInput, "XML is damaged");
  EXPECT_ERROR(parse_annotation("", "a.xml"), ErrorKind::kInvalidInput, "XML");
  EXPECT_ERROR(parse_annotation("not XML", "a.xml"), ErrorKind::kInvalidInput, "XML is damaged");
}

TEST(AnnotationXml, HostileDocumentsEndInAnErrorNotInTheirEntities) {
  std::string bomb = "<!DOCTYPE a [<!ENTITY a \"aaaaaaaaaa\">";
  for (char c = 'b'; c < 'k'; ++c) {
    bomb += std::string("<!ENTITY ") + c + " \"";
    for (int i = 0; i < 10; ++i) bomb += std::string("&") + static_cast<char>(c - 1) + ";";
    bomb += "\">";
  }
  EXPECT_ERROR(parse_annotation(bomb + "]><annotation><object><name>&j;</name></object></annotation>", "a.xml"),
               ErrorKind::kInvalidInput, "a.xml");
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += "<a>";
  EXPECT_ERROR(parse_annotation(deep, "a.xml"), ErrorKind::kInvalidInput, "XML is damaged");
}

TEST(AnnotationXml, OnlyFilesOfTheSplitsImagesAreRead) {
  test::MemoryFileSystem fs;
  fs.set_bytes("/a/one.xml", voc("<object><name>n01</name></object>"));
  fs.set_bytes("/a/other.xml", "not XML");
  SourceSplit split;
  split.images = {{"one.JPEG", 0, 0, 1}, {"two.JPEG", 0, 0, 1}};
  EXPECT_THAT(read_annotations(fs, "/a", split).class_of, UnorderedElementsAre(Pair("one", "n01")));
}

TEST(SynsetMapping, SplitsAtTheFirstBlank) {
  const auto lines = parse_synset_mapping("n01440764 tench, Tinca tinca\r\n\nn01443537\n", "m.txt");
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].wnid, "n01440764");
  EXPECT_EQ(lines[0].names, "tench, Tinca tinca");
  EXPECT_EQ(lines[1].wnid, "n01443537");
  EXPECT_EQ(lines[1].names, "");
}

TEST(ImageSet, TakesTheNameAndLeavesTheCounter) {
  EXPECT_THAT(parse_image_set("n01440764/n01440764_10026 1\nn01440764/n01440764_10027 2\n", "t.txt"),
              ElementsAre("n01440764/n01440764_10026", "n01440764/n01440764_10027"));
  EXPECT_ERROR(parse_image_set(std::string_view("a\0b", 3), "t.txt"), ErrorKind::kInvalidInput, "t.txt: a NUL byte");
}

TEST(BuiltinLabels, HasAllFiftyThousand) {
  const LabelTable table = builtin_val_labels();
  EXPECT_EQ(table.class_of.size(), 50'000u);
  EXPECT_EQ(table.class_of.at("ILSVRC2012_val_00000001"), "n01751748");
  EXPECT_EQ(table.class_of.at("ILSVRC2012_val_00000002"), "n09193705");
  EXPECT_EQ(table.class_of.at("ILSVRC2012_val_00000003"), "n02105855");
}

}  // namespace
}  // namespace imgpack::ingest
