#include <gmock/gmock.h>

#include <cmath>
#include <span>

#include "format/checksum.h"
#include "format/error.h"
#include "format/jpeg/entropy_index.h"
#include "format/jpeg/image_decoder.h"
#include "format/jpeg/jpeg_probe.h"
#include "format/jpeg/simd_target.h"
#include "tests/support/photographs.h"
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
          static_cast<double>(x + width),
          static_cast<double>(y + height),
          flip};
}

Bytes index_of(const Bytes& jpeg, int spacing = 16) {
  auto index = EntropyIndexBuilder().build(jpeg, spacing);
  EXPECT_TRUE(index.has_value());
  return index.value_or(Bytes());
}

struct Request {
  SampleWindow window;
  int width, height;
  Filter filter = Filter::kBilinear;
};

std::vector<uint8_t> decoded(ImageDecoder& decoder, const Bytes& jpeg, const Bytes& index, const Request& r,
                             DecodePath expected) {
  std::vector<uint8_t> rgb(static_cast<size_t>(r.width) * static_cast<size_t>(r.height) * 3);
  EXPECT_EQ(decoder.decode(jpeg, index, r.window, r.width, r.height, r.filter, rgb.data()), expected);
  return rgb;
}

std::vector<uint8_t> fast(const Bytes& jpeg, const Bytes& index, const Request& r) {
  return decoded(*make_decoder(), jpeg, index, r, DecodePath::kFast);
}

std::vector<uint8_t> reference(const Bytes& jpeg, const Request& r) {
  return decoded(*make_reference_decoder(), jpeg, {}, r, DecodePath::kReference);
}

double psnr(const std::vector<uint8_t>& a, const std::vector<uint8_t>& b) {
  double squares = 0;
  for (size_t i = 0; i < a.size(); i++) squares += (a[i] - b[i]) * (a[i] - b[i]);
  return squares == 0 ? 99 : 10 * std::log10(255.0 * 255.0 * static_cast<double>(a.size()) / squares);
}

// Windows of every kind within a width x height image: whole, corner pixels, inner, evaluation-like; shrinking,
// growing.
std::vector<Request> requests(int w, int h) {
  const SampleWindow whole = crop(0, 0, w, h);
  SampleWindow centre = whole;
  centre.x0 = w * 0.15, centre.x1 = w * 0.85, centre.y0 = h * 0.2, centre.y1 = h * 0.7;
  std::vector<Request> out = {{whole, 24, 24},
                              {whole, w, h},
                              {whole, 3 * w + 1, 5},
                              {centre, 20, 20},
                              {centre, 7, 33, Filter::kBicubic},
                              {crop(0, 0, 1, 1), 4, 4},
                              {crop(w - 1, h - 1, 1, 1, true), 3, 5},
                              {whole, 1, 1}};
  for (Filter filter : {Filter::kBilinear, Filter::kBicubic, Filter::kLanczos}) {
    out.push_back({crop(w / 3, h / 4, (w + 2) / 3, (h + 1) / 2, true), 31, 17, filter});
    out.push_back({crop(w / 5, h / 2, (w + 1) / 2, (h + 2) / 3), 65, 40, filter});
  }
  return out;
}

std::vector<TestJpeg> covered_kinds(uint32_t width, uint32_t height) {
  std::vector<TestJpeg> out;
  for (auto [h, v] : {std::pair{1, 1}, {2, 1}, {1, 2}, {2, 2}}) {
    for (int interval : {0, 3})
      out.push_back({.width = width, .height = height, .max_h = h, .max_v = v, .restart_interval = interval});
  }
  out.push_back({.width = width, .height = height, .colour = TestColour::kGray});
  out.push_back({.width = width, .height = height, .quality = 100});
  out.push_back({.width = width, .height = height, .quality = 3});
  return out;
}

TEST(FastDecoder, SmoothPicturesEqualTheReferenceWithinRounding) {
  for (auto [h, v] : {std::pair{1, 1}, {2, 1}, {1, 2}, {2, 2}}) {
    const Bytes jpeg =
        make_test_jpeg({.width = 260, .height = 190, .max_h = h, .max_v = v, .quality = 95, .detail = false});
    const Bytes index = index_of(jpeg);
    for (const Request& r : {Request{crop(0, 0, 260, 190), 112, 112},
                             {crop(13, 7, 201, 150, true), 64, 64},
                             {crop(31, 40, 60, 55), 112, 112}}) {
      EXPECT_GT(psnr(fast(jpeg, index, r), reference(jpeg, r)), 48) << h << "x" << v;
    }
  }
}

TEST(FastDecoder, GrayPixelsEqualTheReferenceToOneLevel) {
  const Bytes jpeg = make_test_jpeg({.width = 150, .height = 100, .colour = TestColour::kGray});
  const Bytes index = index_of(jpeg);
  for (const Request& r :
       {Request{crop(0, 0, 150, 100), 150, 100}, {crop(21, 9, 77, 66), 77, 66}, {crop(0, 0, 150, 100, true), 64, 48}}) {
    const auto a = fast(jpeg, index, r), b = reference(jpeg, r);
    for (size_t i = 0; i < a.size(); i++) ASSERT_NEAR(a[i], b[i], 1) << i;
  }
}

// The bounds that docs/decode.md states.
TEST(FastDecoder, RealPhotographsStayCloseToTheReference) {
  const auto photographs = test::read_photographs(SHARED_DIR);
  if (photographs.empty()) GTEST_SKIP() << "the photographs of " << SHARED_DIR << " are not here";
  const auto fast_decoder = make_decoder(), reference_decoder = make_reference_decoder();
  std::vector<double> quality;
  uint32_t random = 1;
  const auto draw = [&](int below) {
    random = random * 1664525u + 1013904223u;
    return static_cast<int>((random >> 8) % static_cast<uint32_t>(below));
  };
  for (const auto& photograph : photographs) {
    const auto info = probe_jpeg(photograph.jpeg);
    ASSERT_TRUE(info.has_value());
    const Bytes index = index_of(photograph.jpeg);
    const int w = static_cast<int>(info->width), h = static_cast<int>(info->height);
    const int cw = w / 3 + draw(2 * w / 3), ch = h / 3 + draw(2 * h / 3);
    const Request r{crop(draw(w - cw + 1), draw(h - ch + 1), cw, ch, draw(2) == 1), 224, 224};
    const auto a = decoded(*fast_decoder, photograph.jpeg, index, r, DecodePath::kFast);
    const auto b = decoded(*reference_decoder, photograph.jpeg, {}, r, DecodePath::kReference);
    quality.push_back(psnr(a, b));
    EXPECT_GE(quality.back(), 42) << photograph.name;
  }
  std::sort(quality.begin(), quality.end());
  EXPECT_GE(quality[quality.size() / 20], 48) << "5th percentile";
  std::printf("fast against reference: lowest %.1f dB, 5th percentile %.1f, median %.1f\n", quality[0],
              quality[quality.size() / 20], quality[quality.size() / 2]);
}

// With each other where a machine has several, and with all other kinds of CPU by the digest.
TEST(FastDecoder, EverySimdTargetGivesTheSamePixels) {
#if defined(__x86_64__)
  ASSERT_GE(simd_targets().size(), 2u) << "only one target: nothing is compared";
#endif
  ChecksumStream streams, pixels;
  for (auto [width, height] : {std::pair{1, 1}, {7, 90}, {133, 75}, {601, 40}}) {
    for (const TestJpeg& kind : covered_kinds(static_cast<uint32_t>(width), static_cast<uint32_t>(height))) {
      const Bytes jpeg = make_test_jpeg(kind), index = index_of(jpeg, 4);
      streams.update(jpeg);
      for (const Request& r : requests(width, height)) {
        std::vector<uint8_t> expected;
        for (const std::string& target : simd_targets()) {
          const ForcedSimdTarget forced(target);
          const auto rgb = fast(jpeg, index, r);
          if (expected.empty()) expected = rgb;
          ASSERT_EQ(rgb, expected) << target << " " << width << "x" << height << " to " << r.width << "x" << r.height;
        }
        pixels.update(std::as_bytes(std::span(expected)));
      }
    }
  }
  // Of Debian 12's libjpeg-turbo, which writes them; another encoder's streams have other pixels.
  ASSERT_EQ(to_hex(streams.digest()), "89aac4e44c86da3e");
  EXPECT_EQ(to_hex(pixels.digest()), "6697eca05564cbeb");
}

TEST(FastDecoder, SpacingOfTheIndexDoesNotChangePixels) {
  for (const TestJpeg& kind : covered_kinds(233, 120)) {
    const Bytes jpeg = make_test_jpeg(kind);
    for (const Request& r : requests(233, 120)) {
      const auto expected = fast(jpeg, index_of(jpeg, kOneEntryPerRow), r);
      for (int spacing : {1, 3, 16, 500}) ASSERT_EQ(fast(jpeg, index_of(jpeg, spacing), r), expected) << spacing;
    }
  }
}

TEST(FastDecoder, OneDecoderTakesImageAfterImage) {
  const auto decoder = make_decoder();
  for (int round = 0; round < 2; round++) {
    for (const TestJpeg& kind : covered_kinds(70, 55)) {
      const Bytes jpeg = make_test_jpeg(kind), index = index_of(jpeg);
      for (const Request& r : requests(70, 55))
        ASSERT_EQ(decoded(*decoder, jpeg, index, r, DecodePath::kFast), fast(jpeg, index, r));
    }
  }
  EXPECT_GT(decoder->scratch_bytes(), 0u);
}

TEST(FastDecoder, MemoryDoesNotGrowWithTheImagesHeight) {
  const auto scratch = [](uint32_t height) {
    const Bytes jpeg = make_test_jpeg({.width = 64, .height = height, .detail = false});
    const auto decoder = make_decoder();
    decoded(*decoder, jpeg, index_of(jpeg), {crop(0, 0, 64, static_cast<int>(height)), 64, static_cast<int>(height)},
            DecodePath::kFast);
    return decoder->scratch_bytes();
  };
  EXPECT_LT(scratch(8000), scratch(768) + 500'000);
}

TEST(FastDecoder, RecordsWithoutAnIndexAndOtherStreamsTakeTheReferencePath) {
  const Request r{crop(0, 0, 64, 48), 20, 20};
  const Bytes baseline = make_test_jpeg({}), index = index_of(baseline);
  const auto decoder = make_decoder();
  EXPECT_EQ(decoded(*decoder, baseline, {}, r, DecodePath::kReference), reference(baseline, r));
  for (const TestJpeg& kind :
       {TestJpeg{.progressive = true}, TestJpeg{.colour = TestColour::kRgb}, TestJpeg{.max_h = 4}}) {
    const Bytes jpeg = make_test_jpeg(kind);
    EXPECT_EQ(decoded(*decoder, jpeg, index, r, DecodePath::kReference), reference(jpeg, r));
  }
  EXPECT_EQ(decoded(*make_decoder({.kind = DecoderKind::kReference}), baseline, index, r, DecodePath::kReference),
            reference(baseline, r));
}

TEST(FastDecoder, AnIndexOfAnotherImageIsCorruption) {
  const Bytes jpeg = make_test_jpeg({.width = 100, .height = 80});
  std::vector<uint8_t> rgb(24 * 24 * 3);
  for (const TestJpeg& other :
       {TestJpeg{.width = 100, .height = 88}, TestJpeg{.width = 100, .height = 80, .quality = 20, .seed = 9}}) {
    const Bytes index = index_of(make_test_jpeg(other));
    try {
      make_decoder()->decode(jpeg, index, crop(0, 0, 100, 80), 24, 24, Filter::kBilinear, rgb.data());
      FAIL() << "decoded";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kCorruption) << error.what();
    }
  }
}

TEST(FastDecoder, WindowsOutsideTheImageAreRefused) {
  const Bytes jpeg = make_test_jpeg({}), index = index_of(jpeg);
  std::vector<uint8_t> rgb(8 * 8 * 3);
  for (const SampleWindow& w : {crop(-1, 0, 8, 8), crop(60, 0, 8, 8), crop(0, 0, 0, 8), crop(0, 41, 8, 8)}) {
    try {
      make_decoder()->decode(jpeg, index, w, 8, 8, Filter::kBilinear, rgb.data());
      FAIL() << "decoded";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInvalidInput);
    }
  }
}

TEST(FastDecoder, WritesNothingBeyondTheOutput) {
  const Bytes jpeg = make_test_jpeg({.width = 100, .height = 80, .max_h = 2}), index = index_of(jpeg);
  for (const std::string& target : simd_targets()) {
    const ForcedSimdTarget forced(target);
    for (auto [width, height] : {std::pair{1, 1}, {5, 3}, {15, 7}, {16, 2}, {33, 1}, {224, 2}}) {
      const size_t size = static_cast<size_t>(width * height * 3);
      std::vector<uint8_t> rgb(size + 64, 0xa5);
      make_decoder()->decode(jpeg, index, crop(0, 0, 100, 80), width, height, Filter::kBilinear, rgb.data());
      for (size_t i = size; i < rgb.size(); i++) ASSERT_EQ(rgb[i], 0xa5) << target;
    }
  }
}

// Both the bytes and the index may be anything: an error or pixels, the same on every target, and nothing else.
TEST(FastDecoder, DamagedStreamsAndIndexesNeverCrashAndNeverDependOnTheTarget) {
  uint32_t random = 12345;
  const auto draw = [&](size_t below) {
    random = random * 1664525u + 1013904223u;
    return (random >> 4) % below;
  };
  int refused = 0, decoded_anyway = 0;
  for (const TestJpeg& kind : covered_kinds(90, 70)) {
    const Bytes jpeg = make_test_jpeg(kind), index = index_of(jpeg, 3);
    for (int round = 0; round < 60; round++) {
      Bytes bad_jpeg = jpeg, bad_index = index;
      for (size_t n = draw(4); n > 0; n--) bad_jpeg[draw(bad_jpeg.size())] = static_cast<std::byte>(draw(256));
      for (size_t n = draw(4); n > 0; n--)
        bad_index[kEntropyIndexHeaderBytes + draw(bad_index.size() - kEntropyIndexHeaderBytes)] =
            static_cast<std::byte>(draw(256));
      std::vector<std::vector<uint8_t>> outcomes;
      for (const std::string& target : simd_targets()) {
        const ForcedSimdTarget forced(target);
        std::vector<uint8_t> rgb(20 * 20 * 3);
        try {
          make_decoder()->decode(bad_jpeg, bad_index, crop(5, 5, 80, 60), 20, 20, Filter::kBicubic, rgb.data());
          decoded_anyway++;
        } catch (const Error& error) {
          EXPECT_NE(error.kind(), ErrorKind::kInternal);
          rgb.clear();
          refused++;
        }
        outcomes.push_back(rgb);
      }
      for (const auto& outcome : outcomes) ASSERT_EQ(outcome, outcomes.front());
    }
  }
  EXPECT_GT(refused, 100);
  EXPECT_GT(decoded_anyway, 100);
}

}  // namespace
}  // namespace imgpack::jpeg
