#include "engine/predict/portable/model_classes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/expect_error.h"
#include "tests/support/memory_file_system.h"

namespace imgtrain {
namespace {

using imgpack::ErrorKind;

TEST(ModelClasses, AThousandOutputsOfAFileThatSaysNothingAreThoseOfIlsvrc2012) {
  const auto classes = model_classes("", 1000, "w.safetensors");
  ASSERT_EQ(classes.size(), 1000u);
  EXPECT_EQ(classes[0].wnid, "n01440764");
  EXPECT_EQ(classes[0].names, "tench, Tinca tinca");
  EXPECT_EQ(classes[0].label(), "tench");
  EXPECT_EQ(classes[999].wnid, "n15075141");
}

TEST(ModelClasses, AnyOtherNumberOfOutputsIsCounted) {
  const auto classes = model_classes("", 3, "w.safetensors");
  ASSERT_EQ(classes.size(), 3u);
  EXPECT_EQ(classes[2].wnid, "");
  EXPECT_EQ(classes[2].names, "class 2");
  EXPECT_EQ(classes[2].label(), "class 2");
}

TEST(ModelClasses, StatedFoldersKeepTheirOrderAndWnidsGetTheirNames) {
  const auto classes = model_classes(R"(["n02012849", "my flowers", "n01440764"])", 3, "w.safetensors");
  EXPECT_EQ(classes[0].names, "crane");
  EXPECT_EQ(classes[1].wnid, "my flowers");
  EXPECT_EQ(classes[1].names, "my flowers");
  EXPECT_EQ(classes[2].names, "tench, Tinca tinca");
}

TEST(ModelClasses, StatedNamesWinWhereTheyAreKnown) {
  const auto classes = model_classes(R"(["n01440764", "n90000001", "roses"])", 3, "w.safetensors",
                                     R"(["", "a made-up thing", "all kinds of roses"])");
  EXPECT_EQ(classes[0].names, "tench, Tinca tinca");
  EXPECT_EQ(classes[1].names, "a made-up thing");
  EXPECT_EQ(classes[2].wnid, "roses");
  EXPECT_EQ(classes[2].names, "all kinds of roses");
  EXPECT_ERROR(model_classes(R"(["a"])", 1, "w.safetensors", "[]"), ErrorKind::kCorruption, "expected 1, found 0");
}

TEST(ModelClasses, AListThatDoesNotFitTheOutputsIsDamage) {
  EXPECT_ERROR(model_classes(R"(["a", "b"])", 3, "w.safetensors"), ErrorKind::kCorruption, "expected 3, found 2");
  EXPECT_ERROR(model_classes("{}", 3, "w.safetensors"), ErrorKind::kCorruption, "w.safetensors");
  EXPECT_ERROR(model_classes("[1]", 1, "w.safetensors"), ErrorKind::kCorruption, "something else than names");
  EXPECT_ERROR(model_classes("[", 1, "w.safetensors"), ErrorKind::kCorruption, "cannot be read");
}

TEST(ModelClasses, AFileOfNamesReplacesThem) {
  imgpack::test::MemoryFileSystem fs;
  imgpack::publish(fs, "/names.txt", "n01440764 tench, Tinca tinca\r\nn1 a thing, of mine\n\nn01443537");
  const auto classes = read_class_file(fs, "/names.txt", 3);
  EXPECT_EQ(classes[0].names, "tench, Tinca tinca");
  EXPECT_EQ(classes[1].wnid, "n1");
  EXPECT_EQ(classes[1].names, "a thing, of mine");
  EXPECT_EQ(classes[2].names, "goldfish, Carassius auratus");
  EXPECT_ERROR(read_class_file(fs, "/names.txt", 4), ErrorKind::kInvalidInput, "4 classes, found 3");
}

}  // namespace
}  // namespace imgtrain
