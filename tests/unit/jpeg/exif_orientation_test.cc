#include "format/jpeg/exif_orientation.h"

#include <gtest/gtest.h>

#include <vector>

namespace imgpack::jpeg {
namespace {

using Bytes = std::vector<uint8_t>;

Bytes little_endian(uint8_t orientation) {
  return {'E',  'x',  'i', 'f', 0, 0, 'I', 'I', 42,          0, 8, 0, 0, 0, 1, 0,
          0x12, 0x01, 3,   0,   1, 0, 0,   0,   orientation, 0, 0, 0, 0, 0, 0, 0};
}

Bytes big_endian(uint8_t orientation) {
  return {'E',  'x',  'i', 'f', 0, 0, 'M', 'M', 0, 42,          0, 0, 0, 8, 0, 1,
          0x01, 0x12, 0,   3,   0, 0, 0,   1,   0, orientation, 0, 0, 0, 0, 0, 0};
}

TEST(ExifOrientation, IsReadInBothByteOrders) {
  for (uint8_t value = 1; value <= 8; value++) {
    EXPECT_EQ(exif_orientation(little_endian(value)), value);
    EXPECT_EQ(exif_orientation(big_endian(value)), value);
  }
}

TEST(ExifOrientation, ValuesOutsideOneToEightCountAsNone) {
  EXPECT_EQ(exif_orientation(little_endian(0)), 0);
  EXPECT_EQ(exif_orientation(little_endian(9)), 0);
  EXPECT_EQ(exif_orientation(big_endian(255)), 0);
}

TEST(ExifOrientation, OtherSegmentsHaveNone) {
  EXPECT_EQ(exif_orientation({}), 0);
  const Bytes xmp = {'h', 't', 't', 'p', ':', '/', '/', 'n', 's', '.', 'a', 'd', 'o', 'b', 'e', '.'};
  EXPECT_EQ(exif_orientation(xmp), 0);
}

TEST(ExifOrientation, EveryTruncationIsHarmless) {
  const Bytes whole = big_endian(6);
  for (size_t size = 0; size < whole.size(); size++) {
    const Bytes cut(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
    const int value = exif_orientation(cut);
    EXPECT_TRUE(value == 0 || value == 6) << size;
  }
}

TEST(ExifOrientation, DirectoryOffsetsOutsideTheBlockAreHarmless) {
  for (uint8_t high : {0x00, 0x01, 0x7f, 0xff}) {
    Bytes exif = little_endian(6);
    exif[10] = 0xfe;
    exif[13] = high;
    EXPECT_EQ(exif_orientation(exif), 0);
  }
}

}  // namespace
}  // namespace imgpack::jpeg
