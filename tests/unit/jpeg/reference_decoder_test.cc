#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "format/error.h"
#include "format/jpeg/image_decoder.h"
#include "format/jpeg/jpeg_probe.h"
#include "format/jpeg/marker_walk.h"
#include "format/jpeg/simd_target.h"
#include "tests/support/test_jpegs.h"

namespace imgpack::jpeg {
namespace {

using test::make_test_jpeg;
using test::TestColour;
using test::TestJpeg;

using Bytes = std::vector<std::byte>;

SampleWindow crop(int x, int y, int width, int height, bool flip = false) {
  return {x,
          y,
          width,
          height,
          static_cast<double>(x),
          static_cast<double>(y),
          static_cast<double>(x) + width,
          static_cast<double>(y) + height,
          flip};
}

std::vector<uint8_t> decode(std::span<const std::byte> jpeg, const SampleWindow& window, int width, int height,
                            Filter filter = Filter::kBilinear) {
  std::vector<uint8_t> rgb(static_cast<size_t>(width) * static_cast<size_t>(height) * 3);
  make_reference_decoder()->decode(jpeg, {}, window, width, height, filter, rgb.data());
  return rgb;
}

Error error_of(std::span<const std::byte> jpeg, const SampleWindow& window, int width = 8, int height = 8) {
  try {
    decode(jpeg, window, width, height);
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "decoded";
  return Error(ErrorKind::kInternal, "decoded");
}

// Every kind of stream that has to decode.
std::vector<TestJpeg> kinds(uint32_t width, uint32_t height) {
  std::vector<TestJpeg> out;
  const TestJpeg base{.width = width, .height = height};
  for (auto [h, v] : {std::pair{1, 1}, {2, 1}, {1, 2}, {2, 2}, {4, 1}}) {
    TestJpeg t = base;
    t.max_h = h, t.max_v = v;
    out.push_back(t);
    t.progressive = true;
    out.push_back(t);
  }
  TestJpeg t = base;
  t.colour = TestColour::kGray;
  out.push_back(t);
  t.colour = TestColour::kRgb;
  out.push_back(t);
  t = base;
  t.restart_interval = 3, t.max_h = 2, t.max_v = 2;
  out.push_back(t);
  t = base;
  t.arithmetic = true;
  out.push_back(t);
  t = base;
  t.separate_scans = true;
  out.push_back(t);
  return out;
}

TEST(ReferenceDecoder, CropHasThePixelsOfTheWholeImage) {
  for (const TestJpeg& kind : kinds(83, 61)) {
    const Bytes jpeg = make_test_jpeg(kind);
    const auto full = decode(jpeg, crop(0, 0, 83, 61), 83, 61);
    for (const SampleWindow& w :
         {crop(0, 0, 1, 1), crop(82, 60, 1, 1), crop(17, 9, 32, 40), crop(33, 31, 50, 30), crop(5, 59, 70, 2)}) {
      const auto part = decode(jpeg, w, w.use_width, w.use_height);
      for (int y = 0; y < w.use_height; y++) {
        for (int i = 0; i < w.use_width * 3; i++) {
          ASSERT_EQ(part[static_cast<size_t>(y * w.use_width * 3 + i)],
                    full[static_cast<size_t>(((w.use_y + y) * 83 + w.use_x) * 3 + i)])
              << kind.max_h << "x" << kind.max_v << " progressive " << kind.progressive << " at " << i / 3 << "," << y;
        }
      }
    }
  }
}

TEST(ReferenceDecoder, PixelsAreCloseToWhatWasEncoded) {
  const Bytes jpeg = make_test_jpeg({.width = 64, .height = 64, .quality = 100, .detail = false});
  const auto expected = test::test_picture(64, 64, 3, false, 1);
  const auto pixels = decode(jpeg, crop(0, 0, 64, 64), 64, 64);
  double sum = 0;
  for (size_t i = 0; i < pixels.size(); i++) sum += std::abs(pixels[i] - expected[i]);
  EXPECT_LT(sum / static_cast<double>(pixels.size()), 2.0);
}

TEST(ReferenceDecoder, OneDecoderTakesImageAfterImage) {
  const auto decoder = make_reference_decoder();
  for (int round = 0; round < 2; round++) {
    for (const TestJpeg& kind : kinds(50, 70)) {
      const Bytes jpeg = make_test_jpeg(kind);
      std::vector<uint8_t> rgb(16 * 16 * 3);
      EXPECT_EQ(decoder->decode(jpeg, {}, crop(3, 5, 40, 60), 16, 16, Filter::kBicubic, rgb.data()),
                DecodePath::kReference);
      EXPECT_EQ(rgb, decode(jpeg, crop(3, 5, 40, 60), 16, 16, Filter::kBicubic));
    }
  }
  EXPECT_GT(decoder->scratch_bytes(), 0u);
  EXPECT_LT(decoder->scratch_bytes(), 1u << 20);
}

TEST(ReferenceDecoder, GoesOnAfterADamagedImage) {
  const auto decoder = make_reference_decoder();
  const Bytes good = make_test_jpeg({});
  Bytes bad = good;
  bad.resize(bad.size() / 2);
  std::vector<uint8_t> rgb(8 * 8 * 3);
  EXPECT_THROW(decoder->decode(bad, {}, crop(0, 0, 64, 48), 8, 8, Filter::kBilinear, rgb.data()), Error);
  decoder->decode(good, {}, crop(0, 0, 64, 48), 8, 8, Filter::kBilinear, rgb.data());
  EXPECT_EQ(rgb, decode(good, crop(0, 0, 64, 48), 8, 8));
}

TEST(ReferenceDecoder, TablesOfAnEarlierImageAreNotUsed) {
  const auto decoder = make_reference_decoder();
  const Bytes good = make_test_jpeg({});
  Bytes without_tables;  // Quantisation tables left out.
  MarkerWalk walk(good);
  while (walk.next() == MarkerWalk::Step::kSegment) {
    const Segment& s = walk.segment();
    if (s.marker == kDqt) continue;
    const size_t end = s.marker == kSos ? good.size() : s.end;
    without_tables.insert(without_tables.end(), good.begin() + static_cast<ptrdiff_t>(s.begin),
                          good.begin() + static_cast<ptrdiff_t>(end));
    if (s.marker == kSos) break;
  }
  std::vector<uint8_t> rgb(8 * 8 * 3);
  decoder->decode(good, {}, crop(0, 0, 64, 48), 8, 8, Filter::kBilinear, rgb.data());
  EXPECT_THROW(decoder->decode(without_tables, {}, crop(0, 0, 64, 48), 8, 8, Filter::kBilinear, rgb.data()), Error);
}

TEST(ReferenceDecoder, EveryTruncationThatCostsPixelsIsCorruption) {
  for (bool progressive : {false, true}) {
    const Bytes jpeg = make_test_jpeg({.width = 40, .height = 33, .max_h = 2, .progressive = progressive});
    const auto expected = decode(jpeg, crop(0, 0, 40, 33), 20, 20);
    int refused = 0;
    for (size_t size = 0; size < jpeg.size(); size++) {
      const Bytes cut(jpeg.begin(), jpeg.begin() + static_cast<ptrdiff_t>(size));
      try {
        EXPECT_EQ(decode(cut, crop(0, 0, 40, 33), 20, 20), expected) << "invented pixels at " << size;
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kCorruption) << error.what();
        refused++;
      }
    }
    EXPECT_GE(refused, static_cast<int>(jpeg.size()) - 4);
  }
}

TEST(ReferenceDecoder, DamagedBytesNeverCrash) {
  for (const TestJpeg& kind : kinds(48, 32)) {
    const Bytes jpeg = make_test_jpeg(kind);
    for (size_t at = 0; at < jpeg.size(); at += 1 + jpeg.size() / 400) {
      Bytes bad = jpeg;
      bad[at] ^= std::byte{0x55};
      try {
        decode(bad, crop(0, 0, 16, 16), 8, 8);
      } catch (const Error& error) {
        EXPECT_NE(error.kind(), ErrorKind::kInternal) << error.what();
      }
    }
  }
}

TEST(ReferenceDecoder, HugeDimensionsOverFewBytesAreRefusedAtOnce) {
  for (bool progressive : {false, true}) {
    Bytes jpeg = make_test_jpeg({.progressive = progressive});
    MarkerWalk walk(jpeg);
    while (walk.next() == MarkerWalk::Step::kSegment && !is_frame_header(walk.segment().marker)) continue;
    const size_t frame = walk.segment().begin;
    for (size_t i : {5, 7}) jpeg[frame + i] = std::byte{0xff};
    for (size_t i : {6, 8}) jpeg[frame + i] = std::byte{0x00};
    EXPECT_THAT(error_of(jpeg, crop(0, 0, 8, 8)).what(), testing::HasSubstr("more pixels than the limit"));
    jpeg[frame + 5] = std::byte{0x05};
    EXPECT_THAT(error_of(jpeg, crop(0, 0, 8, 8)).what(), testing::HasSubstr("far too short for its dimensions"));
  }
}

TEST(ReferenceDecoder, EndlessScansAreRefused) {
  const Bytes jpeg = make_test_jpeg({.width = 8, .height = 8, .progressive = true});
  // The last scan again and again.
  MarkerWalk walk(jpeg);
  size_t last = 0, end = 0;
  while (walk.next() == MarkerWalk::Step::kSegment && walk.segment().marker != kEoi) {
    if (walk.segment().marker != kSos) continue;
    last = walk.segment().begin;
    walk.skip_entropy_coded();
    end = walk.offset();
  }
  Bytes many(jpeg.begin(), jpeg.begin() + static_cast<ptrdiff_t>(end));
  for (int i = 0; i < 1000; i++)
    many.insert(many.end(), jpeg.begin() + static_cast<ptrdiff_t>(last), jpeg.begin() + static_cast<ptrdiff_t>(end));
  many.insert(many.end(), {std::byte{0xff}, std::byte{0xd9}});
  const Error error = error_of(many, crop(0, 0, 8, 8));
  EXPECT_EQ(error.kind(), ErrorKind::kCorruption) << error.what();
}

TEST(ReferenceDecoder, CmykIsRefusedWithTheWayOut) {
  for (TestColour colour : {TestColour::kCmyk, TestColour::kYcck}) {
    const Error error = error_of(make_test_jpeg({.colour = colour}), crop(0, 0, 64, 48));
    EXPECT_EQ(error.kind(), ErrorKind::kInvalidInput);
    EXPECT_THAT(error.what(), testing::HasSubstr("imgpack build converts CMYK"));
  }
}

TEST(ReferenceDecoder, WindowsOutsideTheImageAreRefused) {
  const Bytes jpeg = make_test_jpeg({.width = 64, .height = 48});
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  std::vector<SampleWindow> bad = {
      crop(-1, 0, 8, 8), crop(0, -1, 8, 8), crop(57, 0, 8, 8), crop(0, 41, 8, 8),
      crop(0, 0, 0, 8),  crop(0, 0, 8, 0),  crop(0, 0, -3, 8), crop(2147483647, 0, 2147483647, 8)};
  for (double wrong : {nan, inf, -inf, -5.0, 1e30}) {
    for (double SampleWindow::*member : {&SampleWindow::x0, &SampleWindow::x1, &SampleWindow::y0, &SampleWindow::y1}) {
      SampleWindow w = crop(0, 0, 64, 48);
      w.*member = wrong;
      bad.push_back(w);
    }
  }
  for (const SampleWindow& w : bad) EXPECT_EQ(error_of(jpeg, w).kind(), ErrorKind::kInvalidInput);
  EXPECT_EQ(error_of(jpeg, crop(0, 0, 8, 8), 0, 8).kind(), ErrorKind::kInvalidInput);
  EXPECT_EQ(error_of(jpeg, crop(0, 0, 8, 8), 8, 20000).kind(), ErrorKind::kInvalidInput);
}

TEST(ReferenceDecoder, WritesNothingBeyondTheOutput) {
  const Bytes jpeg = make_test_jpeg({.width = 100, .height = 80});
  for (const std::string& target : simd_targets()) {
    const ForcedSimdTarget forced(target);
    for (auto [width, height] : {std::pair{1, 1}, {5, 3}, {21, 7}, {22, 22}, {64, 1}, {224, 2}}) {
      const size_t size = static_cast<size_t>(width * height * 3);
      std::vector<uint8_t> rgb(size + 64, 0xa5);
      make_reference_decoder()->decode(jpeg, {}, crop(0, 0, 100, 80), width, height, Filter::kBilinear, rgb.data());
      for (size_t i = size; i < rgb.size(); i++) ASSERT_EQ(rgb[i], 0xa5) << target;
    }
  }
}

}  // namespace
}  // namespace imgpack::jpeg
