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

TEST(ValprepScript, TakesWhereEveryImageIsMoved) {
  const LabelTable table = parse_valprep_script(
      "#!/bin/bash\n"
      "mkdir -p n01440764\r\n"
      "mv ILSVRC2012_val_00000293.JPEG n01440764/\n"
      "  mv -n val/ILSVRC2012_val_00000001.JPEG ./val/n01751748\n"
      "wget https://example.org/mv x\n",
      "valprep.sh");
  EXPECT_EQ(table.source, "valprep.sh");
  EXPECT_THAT(table.class_of, UnorderedElementsAre(Pair("ILSVRC2012_val_00000293", "n01440764"),
                                                   Pair("ILSVRC2012_val_00000001", "n01751748")));
}

TEST(ValprepScript, LinesThatMoveSomethingElseAreNamed) {
  EXPECT_ERROR(parse_valprep_script("\nmv a.JPEG\n", "v.sh"), ErrorKind::kInvalidInput,
               "v.sh: line 2: expected `mv IMAGE CLASS/`, found 'mv a.JPEG'");
  EXPECT_ERROR(parse_valprep_script("mv *.JPEG b.JPEG n01/\n", "v.sh"), ErrorKind::kInvalidInput, "line 1: expected");
  EXPECT_ERROR(parse_valprep_script("mv labels.txt n01/\n", "v.sh"), ErrorKind::kInvalidInput, "an image after mv");
  EXPECT_ERROR(parse_valprep_script("mv a.JPEG ..\n", "v.sh"), ErrorKind::kInvalidInput, "folder of a class");
  EXPECT_ERROR(parse_valprep_script("mv a.JPEG n01/\nmv a.JPEG n02/\n", "v.sh"), ErrorKind::kInvalidInput,
               "line 2: a has two classes, n01 and n02");
  EXPECT_ERROR(parse_valprep_script("mkdir n01\n", "v.sh"), ErrorKind::kInvalidInput, "no line moves an image");
}

TEST(LabelList, ReadsHeadersInAnyOrderAndFilesWithoutOne) {
  const auto expected = UnorderedElementsAre(Pair("a", "n01"), Pair("x/b.1", "n02"));
  EXPECT_THAT(parse_label_list("a.JPEG,n01\nx/b.1.jpg,n02\n", "l.csv").class_of, expected);
  EXPECT_THAT(parse_label_list("image,wnid\na,n01\nx/b.1.jpg,n02\n", "l.csv").class_of, expected);
  EXPECT_THAT(parse_label_list("\xEF\xBB\xBFLabel\tweight\tFile\nn01\t3\ta.png\nn02\t4\tx/b.1.jpg\n", "l.tsv").class_of,
              expected);
  EXPECT_THAT(parse_label_list("ImageId,PredictionString\na,n01 1 2 3 4\n", "l.csv").class_of,
              UnorderedElementsAre(Pair("a", "n01")));
}

TEST(LabelList, BadRowsAreNamedByTheirLine) {
  EXPECT_ERROR(parse_label_list("", "l.csv"), ErrorKind::kInvalidInput, "l.csv: file is empty");
  EXPECT_ERROR(parse_label_list("image,class\n", "l.csv"), ErrorKind::kInvalidInput, "a header and no rows");
  EXPECT_ERROR(parse_label_list("a,n01\nb\n", "l.csv"), ErrorKind::kInvalidInput,
               "line 2: expected at least 2 columns, found 1");
  EXPECT_ERROR(parse_label_list("a,n01\n,n01\n", "l.csv"), ErrorKind::kInvalidInput, "line 2: the name of the image");
  EXPECT_ERROR(parse_label_list("a,\n", "l.csv"), ErrorKind::kInvalidInput, "line 1: expected a class after a");
  EXPECT_ERROR(parse_label_list("a,n01\na,n02\n", "l.csv"), ErrorKind::kInvalidInput, "line 2: a has two classes");
}

}  // namespace
}  // namespace imgpack::ingest
