#include "format/ingest/image_name.h"

#include <gtest/gtest.h>

namespace imgpack::ingest {
namespace {

TEST(ImageName, ImagesAreKnownByTheirExtension) {
  for (const char* name : {"a.JPEG", "a.jpg", "a.b.Png", "a.webp", "a.bmp", "a.gif"})
    EXPECT_TRUE(is_image_file(name)) << name;
  for (const char* name : {"", "JPEG", "a.txt", "a.JPEG.txt", ".JPEG", "._a.JPEG", "Thumbs.db", "a."})
    EXPECT_FALSE(is_image_file(name)) << name;
}

TEST(ImageName, SplitFoldersHaveTheirUsualNames) {
  EXPECT_EQ(split_of_folder("train"), "train");
  EXPECT_EQ(split_of_folder("val"), "val");
  EXPECT_EQ(split_of_folder("validation"), "val");
  EXPECT_EQ(split_of_folder("test"), "test");
  EXPECT_EQ(split_of_folder("Train"), "");
  EXPECT_EQ(split_of_folder("n01440764"), "");
}

TEST(ImageName, FlatImageIsCalledByItsFileName) {
  const auto image = source_image("ILSVRC2012_val_00000001.JPEG", 7);
  ASSERT_TRUE(image);
  EXPECT_EQ(image->name(), "ILSVRC2012_val_00000001.JPEG");
  EXPECT_EQ(image->class_folder(), "");
  EXPECT_EQ(image->bytes, 7u);
}

TEST(ImageName, ImageInAClassFolderIsCalledByItsPath) {
  const auto image = source_image("n01440764/n01440764_10026.JPEG", 7);
  ASSERT_TRUE(image);
  EXPECT_EQ(image->name(), "n01440764/n01440764_10026.JPEG");
  EXPECT_EQ(image->class_folder(), "n01440764");
}

TEST(ImageName, DeeperFoldersBelongToTheName) {
  const auto image = source_image("cat/big/one.jpg", 7);
  ASSERT_TRUE(image);
  EXPECT_EQ(image->name(), "cat/big/one.jpg");
  EXPECT_EQ(image->class_folder(), "cat");
}

TEST(ImageName, ValidationImageHasTheSameNameSortedIntoAClassFolderOrFlat) {
  const auto image = source_image("n01751748/ILSVRC2012_val_00000001.JPEG", 7);
  ASSERT_TRUE(image);
  EXPECT_EQ(image->name(), "ILSVRC2012_val_00000001.JPEG");
  EXPECT_EQ(image->class_folder(), "n01751748");
}

TEST(ImageName, OnlyEightDigitsMakeAnIlsvrcName) {
  EXPECT_TRUE(is_ilsvrc_name("ILSVRC2012_test_00100000.JPEG"));
  EXPECT_FALSE(is_ilsvrc_name("ILSVRC2012_val_0000001.JPEG"));
  EXPECT_FALSE(is_ilsvrc_name("ILSVRC2012_val_0000000x.JPEG"));
  EXPECT_FALSE(is_ilsvrc_name("xILSVRC2012_val_00000001.JPEG"));
}

TEST(ImageName, PathLongerThanAnySystemAllowsIsRefused) {
  EXPECT_FALSE(source_image(std::string(5000, 'a') + ".jpg", 1));
}

TEST(ImageName, PrintableShowsWhatATerminalMustNotGet) {
  EXPECT_EQ(printable("b\xC3\xA4r\x1b[2J\n"), "b\xC3\xA4r\\x1b[2J\\x0a");
  EXPECT_EQ(printable("\xFF\xC0\x80"), "\\xff\\xc0\\x80");
}

}  // namespace
}  // namespace imgpack::ingest
