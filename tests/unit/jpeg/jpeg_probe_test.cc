#include "format/jpeg/jpeg_probe.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "format/jpeg/marker_walk.h"
#include "tests/support/test_jpegs.h"

namespace imgpack::jpeg {
namespace {

using test::make_test_jpeg;
using test::TestColour;
using test::TestJpeg;

std::vector<std::byte> bytes_of(std::initializer_list<int> values) {
  std::vector<std::byte> out;
  for (int value : values) out.push_back(static_cast<std::byte>(value));
  return out;
}

JpegInfo probed(const TestJpeg& what) {
  std::string why;
  const auto info = probe_jpeg(make_test_jpeg(what), &why);
  EXPECT_TRUE(info.has_value()) << why;
  return info.value_or(JpegInfo{});
}

std::string refusal(std::span<const std::byte> bytes) {
  std::string why;
  EXPECT_FALSE(probe_jpeg(bytes, &why).has_value());
  return why;
}

size_t find_marker(std::span<const std::byte> bytes, uint8_t marker) {
  MarkerWalk walk(bytes);
  while (walk.next() == MarkerWalk::Step::kSegment) {
    if (walk.segment().marker == marker) return walk.segment().begin;
  }
  ADD_FAILURE() << "no marker " << int{marker};
  return 0;
}

TEST(JpegProbe, ReadsSizeSamplingAndCodingOfAnOrdinaryStream) {
  const JpegInfo info = probed({.width = 321, .height = 243, .max_h = 2, .max_v = 2});
  EXPECT_EQ(info.width, 321u);
  EXPECT_EQ(info.height, 243u);
  EXPECT_EQ(info.components, 3);
  EXPECT_EQ(info.precision, 8);
  EXPECT_TRUE(info.baseline);
  EXPECT_FALSE(info.progressive);
  EXPECT_FALSE(info.arithmetic);
  EXPECT_FALSE(info.lossless);
  EXPECT_EQ(info.max_h, 2);
  EXPECT_EQ(info.max_v, 2);
  EXPECT_EQ(info.h[1], 1);
  EXPECT_EQ(info.colour, ColourModel::kYCbCr);
  EXPECT_EQ(info.restart_interval, 0);
  EXPECT_EQ(info.exif_orientation, 0);
  EXPECT_FALSE(info.has_metadata);
  EXPECT_EQ(info.scans, 1);
  EXPECT_TRUE(info.ends_with_eoi);
}

TEST(JpegProbe, TellsProgressiveArithmeticAndSeparateScansApart) {
  const JpegInfo progressive = probed({.progressive = true});
  EXPECT_TRUE(progressive.progressive);
  EXPECT_FALSE(progressive.baseline);
  EXPECT_GT(progressive.scans, 3);
  const JpegInfo arithmetic = probed({.arithmetic = true});
  EXPECT_TRUE(arithmetic.arithmetic);
  EXPECT_FALSE(arithmetic.baseline);
  EXPECT_EQ(probed({.separate_scans = true}).scans, 3);
}

TEST(JpegProbe, InfersTheColourModelAsLibjpegDoes) {
  EXPECT_EQ(probed({.colour = TestColour::kGray}).colour, ColourModel::kGray);
  EXPECT_EQ(probed({.colour = TestColour::kRgb}).colour, ColourModel::kRgb);
  EXPECT_EQ(probed({.colour = TestColour::kCmyk}).colour, ColourModel::kCmyk);
  EXPECT_EQ(probed({.colour = TestColour::kYcck}).colour, ColourModel::kYcck);
}

TEST(JpegProbe, FindsRestartIntervalAndExifOrientation) {
  const JpegInfo info = probed({.restart_interval = 5, .exif_orientation = 6});
  EXPECT_EQ(info.restart_interval, 5);
  EXPECT_EQ(info.exif_orientation, 6);
  EXPECT_TRUE(info.has_metadata);
}

TEST(JpegProbe, BytesAfterTheEndOfImageAreAllowed) {
  auto jpeg = make_test_jpeg({});
  jpeg.resize(jpeg.size() + 1000, std::byte{'x'});
  const auto info = probe_jpeg(jpeg);
  ASSERT_TRUE(info.has_value());
  EXPECT_TRUE(info->ends_with_eoi);
}

TEST(JpegProbe, StreamCutInsideItsScanLacksTheEndOfImage) {
  auto jpeg = make_test_jpeg({});
  jpeg.resize(jpeg.size() - 10);
  const auto info = probe_jpeg(jpeg);
  ASSERT_TRUE(info.has_value());
  EXPECT_FALSE(info->ends_with_eoi);
}

TEST(JpegProbe, FirstScanDepthKnowsSizesAndKindWithoutLookingBehindTheScansHeader) {
  for (const TestJpeg& kind : {TestJpeg{.width = 40, .height = 30, .max_h = 2, .max_v = 2, .exif_orientation = 6},
                               TestJpeg{.width = 40, .height = 30, .progressive = true},
                               TestJpeg{.width = 40, .height = 30, .colour = TestColour::kCmyk}}) {
    auto bytes = make_test_jpeg(kind);
    const auto whole = probe_jpeg(bytes);
    bytes.resize(find_marker(bytes, kSos) + 20);  // The data of the scan is gone but for a few bytes.
    const auto first = probe_jpeg(bytes, nullptr, ProbeDepth::kFirstScan);
    ASSERT_TRUE(whole && first);
    EXPECT_EQ(first->width, whole->width);
    EXPECT_EQ(first->height, whole->height);
    EXPECT_EQ(first->baseline, whole->baseline);
    EXPECT_EQ(first->colour, whole->colour);
    EXPECT_EQ(first->exif_orientation, whole->exif_orientation);
    EXPECT_EQ(first->scans, 1);
    EXPECT_FALSE(first->ends_with_eoi);
  }
}

TEST(JpegProbe, SaysWhatIsWrongWithBytesThatAreNoJpeg) {
  EXPECT_THAT(refusal({}), testing::HasSubstr("does not begin with a JPEG marker"));
  EXPECT_THAT(refusal(bytes_of({'P', 'N', 'G'})), testing::HasSubstr("does not begin with a JPEG marker"));
  EXPECT_THAT(refusal(bytes_of({0xff, 0xff, 0xd8})), testing::HasSubstr("does not begin with a JPEG marker"));
  EXPECT_THAT(refusal(bytes_of({0xff, 0xd8})), testing::HasSubstr("ends inside its header, at byte 2"));
  EXPECT_THAT(refusal(bytes_of({0xff, 0xd8, 0xff, 0xd9})), testing::HasSubstr("no image data"));
  EXPECT_THAT(refusal(bytes_of({0xff, 0xd8, 'x', 'y'})), testing::HasSubstr("a marker is missing at byte 2"));
  EXPECT_THAT(refusal(bytes_of({0xff, 0xd8, 0xff, 0xe0, 0x00})),
              testing::HasSubstr("cut off in the marker segment at byte 2"));
  EXPECT_THAT(refusal(bytes_of({0xff, 0xd8, 0xff, 0xe0, 0x00, 0x01})),
              testing::HasSubstr("cut off in the marker segment"));
  EXPECT_THAT(refusal(bytes_of({0xff, 0xd8, 0xff, 0xda, 0, 2})),
              testing::HasSubstr("scan comes before the frame header"));
}

TEST(JpegProbe, SaysWhatIsWrongWithADamagedFrameHeader) {
  const auto jpeg = make_test_jpeg({});
  const size_t frame = find_marker(jpeg, kSof0);
  const auto with = [&](size_t at, int value) {
    auto copy = jpeg;
    copy[frame + at] = static_cast<std::byte>(value);
    return copy;
  };
  auto flat = with(5, 0);
  flat[frame + 6] = std::byte{0};
  EXPECT_THAT(refusal(flat), testing::HasSubstr("width or height is zero"));
  EXPECT_THAT(refusal(with(9, 2)), testing::HasSubstr("neither 1, 3 nor 4 components"));
  EXPECT_THAT(refusal(with(9, 4)), testing::HasSubstr("frame header is too short"));
  EXPECT_THAT(refusal(with(11, 0x05)), testing::HasSubstr("sampling factor is outside 1 to 4"));
  auto twice = jpeg;
  twice.insert(twice.begin() + static_cast<ptrdiff_t>(frame), jpeg.begin() + static_cast<ptrdiff_t>(frame),
               jpeg.begin() + static_cast<ptrdiff_t>(frame) + 19);
  EXPECT_THAT(refusal(twice), testing::HasSubstr("two frame headers"));
}

TEST(JpegProbe, EveryPrefixOfAStreamIsRefusedOrKeepsItsDimensions) {
  const auto jpeg = make_test_jpeg({.width = 24, .height = 17, .progressive = true, .exif_orientation = 3});
  int accepted = 0;
  for (size_t size = 0; size <= jpeg.size(); size++) {
    const std::vector<std::byte> prefix(jpeg.begin(), jpeg.begin() + static_cast<ptrdiff_t>(size));  // Exact, for ASan.
    std::string why;
    const auto info = probe_jpeg(prefix, &why);
    if (!info) {
      EXPECT_FALSE(why.empty());
      continue;
    }
    accepted++;
    EXPECT_EQ(info->width, 24u);
    EXPECT_EQ(info->height, 17u);
    EXPECT_EQ(info->ends_with_eoi, size == jpeg.size());
  }
  EXPECT_GT(accepted, 100);
}

TEST(JpegProbe, EveryByteOfTheHeaderMayBeAnythingWithoutHarm) {
  const auto jpeg = make_test_jpeg({.width = 16, .height = 16, .restart_interval = 1, .exif_orientation = 8});
  const size_t header = find_marker(jpeg, kSos) + 16;
  int accepted = 0;
  for (size_t at = 0; at < header; at++) {
    for (int value : {0x00, 0x01, 0x7f, 0xd9, 0xda, 0xfe, 0xff}) {
      auto copy = jpeg;
      copy[at] = static_cast<std::byte>(value);
      accepted += probe_jpeg(copy).has_value();
    }
  }
  EXPECT_GT(accepted, 0);
}

TEST(CodedBlocks, CountsPaddingAndSubsampling) {
  EXPECT_EQ(coded_blocks(probed({.width = 17, .height = 16, .max_h = 2, .max_v = 2})), 2u * 1 * 6);
  EXPECT_EQ(coded_blocks(probed({.width = 17, .height = 9, .colour = TestColour::kGray})), 3u * 2);
  EXPECT_EQ(coded_blocks(probed({.width = 8, .height = 8})), 3u);
}

}  // namespace
}  // namespace imgpack::jpeg
