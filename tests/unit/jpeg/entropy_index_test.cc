#include "format/jpeg/entropy_index.h"

#include <gmock/gmock.h>

#include "format/jpeg/index_check.h"
#include "format/jpeg/marker_walk.h"
#include "format/jpeg/simd_target.h"
#include "tests/support/photographs.h"
#include "tests/support/test_jpegs.h"

namespace imgpack::jpeg {
namespace {

using test::make_test_jpeg;
using test::TestColour;
using test::TestJpeg;

using Bytes = std::vector<std::byte>;

std::optional<Bytes> built(const Bytes& jpeg, int mcus_per_entry = 16) {
  return EntropyIndexBuilder().build(jpeg, mcus_per_entry);
}

// Every kind of stream that the fast decoder covers.
std::vector<TestJpeg> covered_kinds(uint32_t width, uint32_t height) {
  std::vector<TestJpeg> out;
  for (auto [h, v] : {std::pair{1, 1}, {2, 1}, {1, 2}, {2, 2}}) {
    for (int interval : {0, 1, 5, 64}) {
      for (int quality : {20, 85, 100}) {
        out.push_back({.width = width,
                       .height = height,
                       .max_h = h,
                       .max_v = v,
                       .quality = quality,
                       .optimise = interval == 5,
                       .restart_interval = interval});
      }
    }
  }
  out.push_back({.width = width, .height = height, .colour = TestColour::kGray});
  out.push_back({.width = width, .height = height, .max_h = 2, .max_v = 2, .colour = TestColour::kGray});
  out.push_back({.width = width, .height = height, .colour = TestColour::kGray, .restart_interval = 7});
  out.push_back({.width = width, .height = height, .detail = false});
  return out;
}

TEST(EntropyIndex, CoefficientsThroughEveryEntryEqualLibjpegs) {
  for (auto [width, height] : {std::pair{1u, 1u}, {8u, 8u}, {9u, 300u}, {321u, 17u}, {203u, 111u}}) {
    for (const TestJpeg& kind : covered_kinds(width, height)) {
      const Bytes jpeg = make_test_jpeg(kind);
      for (int spacing : {kOneEntryPerRow, 1, 3, 16, 1000}) {
        const auto index = built(jpeg, spacing);
        ASSERT_TRUE(index.has_value()) << width << "x" << height << " restart " << kind.restart_interval;
        EXPECT_EQ(check_entropy_index(jpeg, *index), "")
            << width << "x" << height << " restart " << kind.restart_interval << " spacing " << spacing;
      }
    }
  }
}

TEST(EntropyIndex, CoefficientsOfRealPhotographsEqualLibjpegs) {
  const auto photographs = test::read_photographs(SHARED_DIR);
  if (photographs.empty()) GTEST_SKIP() << "the photographs of " << SHARED_DIR << " are not here";
  size_t bytes = 0;
  for (const auto& photograph : photographs) {
    const auto index = built(photograph.jpeg);
    ASSERT_TRUE(index.has_value()) << photograph.name;
    bytes += index->size();
    EXPECT_EQ(check_entropy_index(photograph.jpeg, *index), "") << photograph.name;
  }
  EXPECT_LT(bytes / photographs.size(), 2000u) << "bytes per record";
}

TEST(EntropyIndex, EverySimdTargetBuildsTheSameBytes) {
  for (const TestJpeg& kind : covered_kinds(130, 70)) {
    const Bytes jpeg = make_test_jpeg(kind);
    std::optional<Bytes> expected;
    for (const std::string& target : simd_targets()) {
      const ForcedSimdTarget forced(target);
      const auto index = built(jpeg);
      if (!expected) expected = index;
      EXPECT_EQ(index, expected) << target;
    }
  }
}

TEST(EntropyIndex, LayoutIsAsTheHeaderFileSays) {
  const Bytes jpeg = make_test_jpeg({.width = 100, .height = 24});  // 13 x 3 MCUs.
  const Bytes index = built(jpeg, 8).value();
  ASSERT_EQ(index.size(), 16u + 8 * 2 * 3);
  const auto u8 = [&](size_t at) { return static_cast<uint32_t>(index[at]); };
  const auto u32 = [&](size_t at) { return u8(at) | u8(at + 1) << 8 | u8(at + 2) << 16 | u8(at + 3) << 24; };
  EXPECT_EQ(u8(0), 1u);
  EXPECT_EQ(u8(1), 0u);
  EXPECT_EQ(u8(2) | u8(3) << 8, 8u);
  MarkerWalk walk(jpeg);
  while (walk.next() == MarkerWalk::Step::kSegment && walk.segment().marker != kSos) continue;
  EXPECT_EQ(u32(4), walk.segment().end);
  EXPECT_EQ(u32(4) + u32(8) + 2, jpeg.size());
  EXPECT_EQ(u32(12), 6u);
  EXPECT_EQ(u32(16), 0u);  // The first entry: bit 0, predictors 0.
  EXPECT_EQ(u32(20), 0u);
}

TEST(EntropyIndex, StreamsThatTheFastDecoderDoesNotCoverHaveNone) {
  for (const TestJpeg& kind :
       {TestJpeg{.progressive = true}, TestJpeg{.arithmetic = true}, TestJpeg{.separate_scans = true},
        TestJpeg{.colour = TestColour::kRgb}, TestJpeg{.colour = TestColour::kCmyk},
        TestJpeg{.colour = TestColour::kYcck}, TestJpeg{.max_h = 4}, TestJpeg{.max_v = 4}}) {
    EXPECT_FALSE(built(make_test_jpeg(kind)).has_value());
  }
  EXPECT_FALSE(built({}).has_value());
  EXPECT_FALSE(built(Bytes(100)).has_value());
}

TEST(EntropyIndex, NoTruncationThatCostsPixelsGetsOne) {
  for (int interval : {0, 2}) {
    const Bytes jpeg = make_test_jpeg({.width = 40, .height = 30, .restart_interval = interval});
    ASSERT_TRUE(built(jpeg).has_value());
    for (size_t size = 0; size + 3 < jpeg.size(); size++) {
      const Bytes cut(jpeg.begin(), jpeg.begin() + static_cast<ptrdiff_t>(size));
      const auto index = built(cut);
      if (!index) continue;
      EXPECT_EQ(check_entropy_index(cut, *index), "") << "index of a stream that libjpeg calls damaged, at " << size;
      EXPECT_GT(size + 5, jpeg.size());
    }
  }
}

TEST(EntropyIndex, DamagedStreamsGetNoneOrARightOne) {
  for (const TestJpeg& kind : {TestJpeg{.width = 48, .height = 33, .max_h = 2, .max_v = 2},
                               TestJpeg{.width = 48, .height = 33, .restart_interval = 2}}) {
    const Bytes jpeg = make_test_jpeg(kind);
    int indexed = 0;
    for (size_t at = 0; at < jpeg.size(); at++) {
      for (uint8_t flip : {0x01, 0x80, 0xff}) {
        Bytes bad = jpeg;
        bad[at] ^= std::byte{flip};
        const auto index = built(bad);
        if (!index) continue;
        indexed++;
        EXPECT_EQ(check_entropy_index(bad, *index), "") << at << " ^ " << int{flip};
      }
    }
    EXPECT_GT(indexed, 100);  // Changed values are not damage.
  }
}

TEST(EntropyIndex, RestartMarkersOutOfTurnGetNone) {
  const Bytes jpeg = make_test_jpeg({.width = 64, .height = 64, .restart_interval = 4});
  int changed = 0;
  for (size_t i = 0; i + 1 < jpeg.size(); i++) {
    const uint8_t code = static_cast<uint8_t>(jpeg[i + 1]);
    if (jpeg[i] != std::byte{0xff} || code < kRst0 || code > kRst7) continue;
    Bytes bad = jpeg;
    bad[i + 1] = static_cast<std::byte>(kRst0 + ((code - kRst0 + 1) & 7));
    EXPECT_FALSE(built(bad).has_value()) << i;
    changed++;
  }
  EXPECT_GT(changed, 10);
}

class ParsedIndex : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(parse_baseline_header(jpeg, *header), Coverage::kCovered); }
  bool parses(const Bytes& bytes) const { return EntropyIndexView::parse(bytes, *header, jpeg.size()).has_value(); }

  const Bytes jpeg = make_test_jpeg({.width = 100, .height = 40});
  const std::unique_ptr<BaselineHeader> header = std::make_unique<BaselineHeader>();
  const Bytes index = built(jpeg, 4).value();
};

TEST_F(ParsedIndex, EntriesComeBackAsTheyWereWritten) {
  const auto view = EntropyIndexView::parse(index, *header, jpeg.size());
  ASSERT_TRUE(view.has_value());
  EXPECT_EQ(view->mcus_per_entry(), 4);
  EXPECT_EQ(view->entries_per_row(), 4);
  EXPECT_EQ(view->entries(), 4u * 5);
  uint64_t previous = 0;
  bool negative = false;
  for (size_t i = 1; i < view->entries(); i++) {
    const EntropyEntry entry = view->entry(i);
    const uint64_t position = uint64_t{entry.byte} * 8 + static_cast<uint64_t>(entry.bit);
    EXPECT_GT(position, previous);
    EXPECT_LT(entry.byte, view->scan_bytes());
    for (int16_t dc : entry.dc) negative |= dc < 0;
    previous = position;
  }
  EXPECT_TRUE(negative);
}

TEST_F(ParsedIndex, WrongHeaderFieldsAreRefused) {
  ASSERT_TRUE(parses(index));
  for (size_t at = 0; at < kEntropyIndexHeaderBytes; at++) {
    for (int bit = 0; bit < 8; bit++) {
      Bytes bad = index;
      bad[at] ^= static_cast<std::byte>(1 << bit);
      const uint32_t scan_bytes = static_cast<uint32_t>(bad[8]) | static_cast<uint32_t>(bad[9]) << 8 |
                                  static_cast<uint32_t>(bad[10]) << 16 | static_cast<uint32_t>(bad[11]) << 24;
      const bool another_end_of_scan = at >= 8 && at < 12 && scan_bytes <= jpeg.size() - header->scan_begin;
      if (another_end_of_scan) continue;  // Entries are checked against it when they are used.
      EXPECT_FALSE(parses(bad)) << at << " bit " << bit;
    }
  }
}

TEST_F(ParsedIndex, OtherSizesAreRefused) {
  for (size_t size = 0; size < index.size(); size++)
    EXPECT_FALSE(parses(Bytes(index.begin(), index.begin() + static_cast<ptrdiff_t>(size))));
  Bytes longer = index;
  longer.resize(longer.size() + kEntropyEntryBytes);
  EXPECT_FALSE(parses(longer));
}

TEST_F(ParsedIndex, AnotherImagesIndexIsRefused) {
  EXPECT_FALSE(parses(built(make_test_jpeg({.width = 100, .height = 48}), 4).value()));
  EXPECT_FALSE(parses(built(make_test_jpeg({.width = 100, .height = 40, .optimise = true}), 4).value()));
}

TEST_F(ParsedIndex, EveryFlippedBitOfAnEntryIsNoticedByTheCheck) {
  for (size_t at = kEntropyIndexHeaderBytes; at < index.size(); at++) {
    for (int bit = 0; bit < 8; bit++) {
      Bytes bad = index;
      bad[at] ^= static_cast<std::byte>(1 << bit);
      EXPECT_NE(check_entropy_index(jpeg, bad), "") << at << " bit " << bit;
    }
  }
}

}  // namespace
}  // namespace imgpack::jpeg
