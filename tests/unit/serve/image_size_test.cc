#include "engine/serve/image_size.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <vector>

#include "format/error.h"
#include "tests/support/test_jpegs.h"

namespace imgtrain::serve {
namespace {

// The stream's frame header, with other sides.
std::vector<std::byte> with_sides(std::vector<std::byte> bytes, std::array<int, 4> sides) {
  constexpr std::array frame = {std::byte{0xff}, std::byte{0xc0}};
  const auto at = std::search(bytes.begin(), bytes.end(), frame.begin(), frame.end());
  for (size_t i = 0; i < sides.size(); ++i) at[5 + static_cast<std::ptrdiff_t>(i)] = std::byte(sides[i]);
  return bytes;
}

TEST(ImageSize, AJpegsIsThatOfItsFirstFrameWhateverFollowsItsScan) {
  std::vector<std::byte> bytes = imgpack::test::make_test_jpeg({.width = 64, .height = 48});
  const std::vector<std::byte> again(bytes.begin() + 2, bytes.end());
  bytes.resize(bytes.size() - 2);  // No end: the markers go on behind the scan.
  bytes.insert(bytes.end(), again.begin(), again.end());
  const auto size = image_size(bytes);
  ASSERT_TRUE(size);
  EXPECT_EQ(size->width, 64u);
  EXPECT_EQ(size->height, 48u);
}

TEST(ImageSize, AJpegBeyondTheLimitIsRefusedAlsoWhereWhatFollowsItsScanIsDamaged) {
  std::vector<std::byte> bytes = imgpack::test::make_test_jpeg({.width = 64, .height = 48});
  const std::vector<std::byte> again(bytes.begin() + 2, bytes.end());
  bytes.resize(bytes.size() - 2);
  bytes.insert(bytes.end(), again.begin(), again.end());
  EXPECT_THROW(require_pixels(with_sides(bytes, {0xff, 0, 0xff, 0}), 1'000'000), imgpack::Error);
  EXPECT_NO_THROW(require_pixels(bytes, 1'000'000));
}

}  // namespace
}  // namespace imgtrain::serve
