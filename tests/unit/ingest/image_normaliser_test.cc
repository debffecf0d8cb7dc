#include "format/ingest/image_normaliser.h"

#include <gmock/gmock.h>
#include <png.h>
#include <webp/encode.h>

#include <cstdlib>
#include <cstring>

#include "format/error.h"
#include "format/jpeg/image_decoder.h"
#include "format/jpeg/jpeg_probe.h"
#include "format/record.h"
#include "tests/support/test_jpegs.h"

namespace imgpack::ingest {
namespace {

using test::make_test_jpeg;
using test::test_picture;
using test::TestColour;
using test::TestJpeg;
using testing::HasSubstr;

using Bytes = std::vector<std::byte>;

Bytes to_bytes(const void* data, size_t size) {
  const std::byte* begin = static_cast<const std::byte*>(data);
  return {begin, begin + size};
}

Bytes to_bytes(std::string_view text) {
  return to_bytes(text.data(), text.size());
}

// Other sampling factors in the frame header of a baseline JPEG: luma's, and those of the first chroma component.
Bytes with_sampling(Bytes jpeg, uint8_t luma, uint8_t chroma) {
  for (size_t i = 0; i + 15 < jpeg.size(); i++) {
    if (jpeg[i] != std::byte{0xff} || jpeg[i + 1] != std::byte{0xc0}) continue;
    jpeg[i + 11] = std::byte{luma};
    jpeg[i + 14] = std::byte{chroma};
    return jpeg;
  }
  ADD_FAILURE() << "no baseline frame header";
  return jpeg;
}

Bytes make_png(uint32_t width, uint32_t height, uint32_t format, int row_channels) {
  const auto pixels = test_picture(width, height, row_channels, true, 3);
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = width;
  image.height = height;
  image.format = format;
  png_alloc_size_t size = 0;
  png_image_write_to_memory(&image, nullptr, &size, 0, pixels.data(), 0, nullptr);
  Bytes out(size);
  png_image_write_to_memory(&image, out.data(), &size, 0, pixels.data(), 0, nullptr);
  out.resize(size);
  return out;
}

Bytes make_webp(uint32_t width, uint32_t height) {
  const auto pixels = test_picture(width, height, 3, true, 3);
  uint8_t* memory = nullptr;
  const size_t size = WebPEncodeLosslessRGB(pixels.data(), static_cast<int>(width), static_cast<int>(height),
                                            static_cast<int>(width) * 3, &memory);
  Bytes out = to_bytes(memory, size);
  WebPFree(memory);
  return out;
}

void put_u32(Bytes& out, uint32_t value) {
  for (int i = 0; i < 4; i++) out.push_back(static_cast<std::byte>(value >> (8 * i)));
}

// 24 bits, bottom-up.
Bytes make_bmp(uint32_t width, uint32_t height) {
  const auto pixels = test_picture(width, height, 3, true, 3);
  const uint32_t row = (width * 3 + 3) / 4 * 4;
  Bytes out = to_bytes("BM");
  put_u32(out, 54 + row * height);
  put_u32(out, 0);
  put_u32(out, 54);
  put_u32(out, 40);
  put_u32(out, width);
  put_u32(out, height);
  put_u32(out, 1 | 24 << 16);
  for (int i = 0; i < 6; i++) put_u32(out, 0);
  for (uint32_t y = 0; y < height; y++) {
    for (uint32_t x = 0; x < row; x++) {
      const uint32_t pixel = x / 3;
      const size_t at = (static_cast<size_t>(height - 1 - y) * width + pixel) * 3 + 2 - x % 3;
      out.push_back(pixel < width ? static_cast<std::byte>(pixels[at]) : std::byte{0});
    }
  }
  return out;
}

NormalisedImage normalised(Bytes source, const NormaliseOptions& options = {}) {
  auto outcome = normalise_image(std::move(source), options);
  if (auto* reason = std::get_if<Quarantine>(&outcome)) {
    ADD_FAILURE() << "quarantined: " << reason_name(reason->reason) << ": " << reason->detail;
    return {};
  }
  return std::get<NormalisedImage>(std::move(outcome));
}

// Whatever the reason is, the source stays the caller's, byte for byte: its digest goes on the list.
Quarantine quarantined(Bytes source, const NormaliseOptions& options = {}) {
  const Bytes before = source;
  auto outcome = normalise_image(std::move(source), options);
  EXPECT_EQ(source, before);  // NOLINT(bugprone-use-after-move): not moved from, which is what is promised.
  if (auto* reason = std::get_if<Quarantine>(&outcome)) return *reason;
  ADD_FAILURE() << "accepted";
  return {};
}

jpeg::JpegInfo probed(const Bytes& bytes) {
  std::string why;
  const auto info = jpeg::probe_jpeg(bytes, &why);
  EXPECT_TRUE(info.has_value()) << why;
  return info.value_or(jpeg::JpegInfo{});
}

std::vector<uint8_t> pixels_of(const Bytes& bytes) {
  const jpeg::JpegInfo info = probed(bytes);
  const int w = static_cast<int>(info.width), h = static_cast<int>(info.height);
  std::vector<uint8_t> rgb(static_cast<size_t>(info.width) * info.height * 3);
  const jpeg::SampleWindow whole{0, 0, w, h, 0, 0, static_cast<double>(w), static_cast<double>(h), false};
  jpeg::make_reference_decoder()->decode(bytes, {}, whole, w, h, jpeg::Filter::kBilinear, rgb.data());
  return rgb;
}

double mean_difference(const std::vector<uint8_t>& a, const std::vector<uint8_t>& b) {
  EXPECT_EQ(a.size(), b.size());
  double sum = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); i++) sum += std::abs(a[i] - b[i]);
  return sum / static_cast<double>(a.size());
}

TEST(ImageNormaliser, OrdinaryJpegsAreKeptToTheLastByte) {
  for (TestJpeg kind : {TestJpeg{}, TestJpeg{.max_h = 2, .max_v = 2}, TestJpeg{.restart_interval = 4},
                        TestJpeg{.colour = TestColour::kRgb}}) {
    const Bytes jpeg = make_test_jpeg(kind);
    const NormalisedImage image = normalised(jpeg);
    EXPECT_EQ(image.jpeg, jpeg);
    EXPECT_EQ(image.width, 64u);
    EXPECT_EQ(image.height, 48u);
    EXPECT_EQ(image.flags & ~kRecordReferenceOnly, 0u);
  }
}

TEST(ImageNormaliser, FlagsSayWhatKindOfStreamIsKept) {
  EXPECT_EQ(normalised(make_test_jpeg({.colour = TestColour::kGray})).flags & kRecordGray, kRecordGray);
  EXPECT_EQ(normalised(make_test_jpeg({.progressive = true})).flags & kRecordProgressive, kRecordProgressive);
  EXPECT_EQ(normalised(make_test_jpeg({.exif_orientation = 6})).flags & kRecordExifOriented, kRecordExifOriented);
  EXPECT_EQ(normalised(make_test_jpeg({.exif_orientation = 1})).flags & kRecordExifOriented, 0u);
}

TEST(ImageNormaliser, InkBecomesRgbWithAdobesInversion) {
  for (TestColour colour : {TestColour::kCmyk, TestColour::kYcck}) {
    const NormalisedImage image = normalised(make_test_jpeg({.colour = colour, .quality = 100, .detail = false}));
    EXPECT_EQ(image.flags & ~kRecordReferenceOnly, kRecordConverted | kRecordReencoded);
    const jpeg::JpegInfo info = probed(image.jpeg);
    EXPECT_EQ(info.colour, jpeg::ColourModel::kYCbCr);
    EXPECT_EQ(info.max_h, 1);
    const auto ink = test_picture(64, 48, 4, false, 1);
    std::vector<uint8_t> expected;
    for (size_t i = 0; i < ink.size(); i += 4) {
      for (size_t c = 0; c < 3; c++) expected.push_back(static_cast<uint8_t>(ink[i + 3] * ink[i + c] / 255));
    }
    EXPECT_LT(mean_difference(pixels_of(image.jpeg), expected), 2.5);
  }
}

TEST(ImageNormaliser, PngWebpAndBmpBecomeJpegsOfTheSamePicture) {
  const auto expected = test_picture(75, 41, 3, true, 3);
  for (const Bytes& source : {make_png(75, 41, PNG_FORMAT_RGB, 3), make_webp(75, 41), make_bmp(75, 41)}) {
    const NormalisedImage image = normalised(source);
    EXPECT_EQ(image.flags & ~kRecordReferenceOnly, kRecordConverted | kRecordReencoded);
    EXPECT_EQ(image.width, 75u);
    EXPECT_EQ(image.height, 41u);
    EXPECT_LT(mean_difference(pixels_of(image.jpeg), expected), 4.0);
  }
}

TEST(ImageNormaliser, ThreeWaysToStoreAPictureGiveOneJpeg) {
  const Bytes from_png = normalised(make_png(33, 20, PNG_FORMAT_RGB, 3)).jpeg;
  EXPECT_EQ(normalised(make_webp(33, 20)).jpeg, from_png);
  EXPECT_EQ(normalised(make_bmp(33, 20)).jpeg, from_png);
}

TEST(ImageNormaliser, GrayPngStaysGray) {
  const NormalisedImage image = normalised(make_png(40, 30, PNG_FORMAT_GRAY, 1));
  EXPECT_EQ(image.flags & ~kRecordReferenceOnly, kRecordConverted | kRecordReencoded | kRecordGray);
  EXPECT_EQ(probed(image.jpeg).components, 1);
}

TEST(ImageNormaliser, AlphaIsDroppedNotBlended) {
  const NormalisedImage image = normalised(make_png(40, 30, PNG_FORMAT_RGBA, 4));
  const auto rgba = test_picture(40, 30, 4, true, 3);
  std::vector<uint8_t> expected;
  for (size_t i = 0; i < rgba.size(); i++) {
    if (i % 4 != 3) expected.push_back(rgba[i]);
  }
  EXPECT_LT(mean_difference(pixels_of(image.jpeg), expected), 4.0);
}

TEST(ImageNormaliser, EveryBadSourceIsQuarantinedWithItsReason) {
  const Bytes jpeg = make_test_jpeg({});
  const auto cut = [](Bytes bytes, size_t size) {
    bytes.resize(size);
    return bytes;
  };
  struct Case {
    const char* what;
    Bytes source;
    QuarantineReason reason;
    const char* detail;
  };
  const Case cases[] = {
      {"no bytes", {}, QuarantineReason::kEmpty, "no bytes"},
      {"a text file named .JPEG", to_bytes("hello\nworld\n"), QuarantineReason::kNotAnImage, "found text"},
      {"zeros", Bytes(100), QuarantineReason::kNotAnImage, "found unknown bytes"},
      {"a zip", to_bytes("PK\x03\x04zip"), QuarantineReason::kNotAnImage, "found a zip archive"},
      {"a GIF", to_bytes("GIF89a......"), QuarantineReason::kUnsupported, "GIF"},
      {"a TIFF", to_bytes(std::string_view("II*\0....", 8)), QuarantineReason::kUnsupported, "TIFF"},
      {"a JPEG cut in half", cut(jpeg, jpeg.size() / 2), QuarantineReason::kDamaged, "premature end"},
      {"a JPEG cut in its header", cut(jpeg, 30), QuarantineReason::kDamaged, "cut off"},
      {"a JPEG with three columns of luma for two of chroma", with_sampling(jpeg, 0x31, 0x21),
       QuarantineReason::kUnsupported, "fractions of pixels"},
      {"a PNG cut off", cut(make_png(64, 64, PNG_FORMAT_RGB, 3), 500), QuarantineReason::kDamaged, "PNG: "},
      {"a PNG's signature alone", cut(make_png(64, 64, PNG_FORMAT_RGB, 3), 8), QuarantineReason::kDamaged, "cut off"},
      {"a WebP cut off", cut(make_webp(64, 64), 300), QuarantineReason::kDamaged, "WebP: "},
      {"a BMP cut off", cut(make_bmp(64, 64), 5000), QuarantineReason::kDamaged, "BMP: it is cut off"},
      {"a BMP's first bytes", to_bytes("BM"), QuarantineReason::kUnsupported, "BMP: "},
  };
  for (const Case& c : cases) {
    const Quarantine q = quarantined(c.source);
    EXPECT_EQ(q.reason, c.reason) << c.what << ": " << q.detail;
    EXPECT_THAT(q.detail, HasSubstr(c.detail)) << c.what;
  }
}

TEST(ImageNormaliser, HugeClaimsAreRefusedBeforeMemoryIsTaken) {
  Bytes bmp = make_bmp(8, 8);
  const uint32_t side = 60'000;
  std::memcpy(bmp.data() + 18, &side, 4);
  std::memcpy(bmp.data() + 22, &side, 4);
  EXPECT_EQ(quarantined(bmp).reason, QuarantineReason::kTooLarge);
  Bytes png = make_png(8, 8, PNG_FORMAT_RGB, 3);
  png[16] = std::byte{0x7f};
  EXPECT_EQ(quarantined(png).reason, QuarantineReason::kDamaged);
}

TEST(ImageNormaliser, HeaderCheckLetsACutStreamPassAndTheWholeCheckDoesNot) {
  Bytes jpeg = make_test_jpeg({});
  jpeg.resize(jpeg.size() / 2);
  NormaliseOptions options;
  options.check = StreamCheck::kHeader;
  options.entropy_index_mcus = kNoEntropyIndex;
  EXPECT_EQ(normalised(jpeg, options).jpeg, jpeg);
  options.check = StreamCheck::kWhole;
  EXPECT_EQ(quarantined(jpeg, options).reason, QuarantineReason::kDamaged);
}

TEST(ImageNormaliser, ResizingKeepsProportionsAndNeverEnlarges) {
  const Bytes jpeg = make_test_jpeg({.width = 301, .height = 200});
  NormaliseOptions options;
  const auto size_of = [&](uint32_t resize_short, uint32_t resize_max) {
    options.resize_short = resize_short;
    options.resize_max = resize_max;
    const NormalisedImage image = normalised(jpeg, options);
    const jpeg::JpegInfo info = probed(image.jpeg);
    EXPECT_EQ(info.width, image.width);
    EXPECT_EQ(info.height, image.height);
    EXPECT_EQ(image.flags & kRecordResized, image.width == 301 ? 0u : kRecordResized);
    return std::pair(image.width, image.height);
  };
  EXPECT_EQ(size_of(100, 0), std::pair(151u, 100u));
  EXPECT_EQ(size_of(0, 100), std::pair(100u, 66u));
  EXPECT_EQ(size_of(100, 120), std::pair(120u, 79u));
  EXPECT_EQ(size_of(200, 0), std::pair(301u, 200u));
  EXPECT_EQ(size_of(0, 301), std::pair(301u, 200u));
  EXPECT_EQ(size_of(5000, 5000), std::pair(301u, 200u));
  EXPECT_EQ(size_of(1, 0), std::pair(2u, 1u));
  EXPECT_EQ(size_of(0, 1), std::pair(1u, 1u));
}

TEST(ImageNormaliser, ImagesWithinTheLimitAreNotReencoded) {
  const Bytes jpeg = make_test_jpeg({});
  NormaliseOptions options;
  options.resize_max = 64;
  EXPECT_EQ(normalised(jpeg, options).jpeg, jpeg);
}

TEST(ImageNormaliser, ResizedImagesHaveTheQualityAndSubsamplingAskedFor) {
  const Bytes jpeg = make_test_jpeg({.width = 200, .height = 200});
  NormaliseOptions options;
  options.resize_max = 100;
  const NormalisedImage standard = normalised(jpeg, options);
  EXPECT_EQ(probed(standard.jpeg).max_v, 2);
  options.subsampling = Subsampling::k444;
  const NormalisedImage full_chroma = normalised(jpeg, options);
  EXPECT_EQ(probed(full_chroma.jpeg).max_h, 1);
  options.subsampling = Subsampling::k422;
  EXPECT_EQ(probed(normalised(jpeg, options).jpeg).max_h, 2);
  EXPECT_EQ(probed(normalised(jpeg, options).jpeg).max_v, 1);
  options.quality = 30;
  EXPECT_LT(normalised(jpeg, options).jpeg.size(), full_chroma.jpeg.size() / 2);
}

TEST(ImageNormaliser, GrayImagesStayGrayWhenResized) {
  NormaliseOptions options;
  options.resize_max = 50;
  const NormalisedImage image =
      normalised(make_test_jpeg({.width = 130, .height = 90, .colour = TestColour::kGray}), options);
  EXPECT_EQ(image.flags & ~kRecordReferenceOnly, kRecordGray | kRecordResized | kRecordReencoded);
  EXPECT_EQ(probed(image.jpeg).components, 1);
}

TEST(ImageNormaliser, NoLargerKeepsTheSourceWhereTheResultWouldHaveMoreBytes) {
  NormaliseOptions options;
  options.reencode = true;
  options.quality = 100;
  options.subsampling = Subsampling::k444;
  const Bytes jpeg = make_test_jpeg({.quality = 30});
  EXPECT_GT(normalised(jpeg, options).jpeg.size(), jpeg.size());
  options.no_larger = true;
  const NormalisedImage image = normalised(jpeg, options);
  EXPECT_EQ(image.jpeg, jpeg);
  EXPECT_EQ(image.flags & kRecordReencoded, 0u);
}

TEST(ImageNormaliser, ProgressiveAndArithmeticBecomeBaselineWithTheSamePixels) {
  NormaliseOptions options;
  options.to_baseline = true;
  for (TestJpeg kind : {TestJpeg{.max_h = 2, .progressive = true}, TestJpeg{.arithmetic = true},
                        TestJpeg{.colour = TestColour::kGray, .progressive = true}}) {
    const Bytes jpeg = make_test_jpeg(kind);
    const NormalisedImage image = normalised(jpeg, options);
    EXPECT_TRUE(probed(image.jpeg).baseline);
    EXPECT_EQ(image.flags & (kRecordTranscoded | kRecordProgressive | kRecordReencoded), kRecordTranscoded);
    EXPECT_EQ(pixels_of(image.jpeg), pixels_of(jpeg));
  }
  const Bytes baseline = make_test_jpeg({});
  EXPECT_EQ(normalised(baseline, options).jpeg, baseline);
}

TEST(ImageNormaliser, OptimalHuffmanTablesSaveBytesAndKeepThePixels) {
  NormaliseOptions options;
  options.optimise_huffman = true;
  for (TestJpeg kind : {TestJpeg{.width = 200, .height = 150},
                        TestJpeg{.width = 200, .height = 150, .max_h = 2, .max_v = 2, .restart_interval = 7}}) {
    const Bytes jpeg = make_test_jpeg(kind);
    const NormalisedImage image = normalised(jpeg, options);
    EXPECT_LT(image.jpeg.size(), jpeg.size());
    EXPECT_EQ(image.flags & ~kRecordReferenceOnly, kRecordTranscoded);
    EXPECT_EQ(pixels_of(image.jpeg), pixels_of(jpeg));
  }
}

TEST(ImageNormaliser, TranscodingKeepsMetadataUnlessItIsToBeStripped) {
  NormaliseOptions options;
  options.optimise_huffman = true;
  const Bytes jpeg = make_test_jpeg({.exif_orientation = 6});
  EXPECT_EQ(probed(normalised(jpeg, options).jpeg).exif_orientation, 6);
  options.strip_metadata = true;
  const NormalisedImage stripped = normalised(jpeg, options);
  EXPECT_EQ(probed(stripped.jpeg).exif_orientation, 0);
  EXPECT_EQ(stripped.flags & kRecordExifOriented, kRecordExifOriented);
}

TEST(ImageNormaliser, StrippingRemovesMetadataAndTrailingBytesAndNothingElse) {
  NormaliseOptions options;
  options.strip_metadata = true;
  for (bool progressive : {false, true}) {
    const Bytes bare = make_test_jpeg({.progressive = progressive, .restart_interval = 2});
    Bytes jpeg = make_test_jpeg({.progressive = progressive, .restart_interval = 2, .exif_orientation = 3});
    jpeg.resize(jpeg.size() + 77, std::byte{'x'});
    const NormalisedImage image = normalised(jpeg, options);
    EXPECT_EQ(image.jpeg, bare);
    EXPECT_EQ(image.flags & kRecordTranscoded, kRecordTranscoded);
    EXPECT_EQ(normalised(bare, options).flags & kRecordTranscoded, 0u);
  }
}

TEST(ImageNormaliser, StrippingLeavesColourProfiles) {
  const std::string_view profile("\xff\xe2\x00\x12ICC_PROFILE\0\x01\x01pp", 20);
  const auto with = [&](Bytes jpeg) {
    const Bytes segment = to_bytes(profile);
    jpeg.insert(jpeg.begin() + 2, segment.begin(), segment.end());
    return jpeg;
  };
  const auto has_profile = [&](const Bytes& jpeg) {
    const Bytes segment = to_bytes(profile);
    return std::search(jpeg.begin(), jpeg.end(), segment.begin(), segment.end()) != jpeg.end();
  };
  NormaliseOptions options;
  options.strip_metadata = true;
  const Bytes alone = with(make_test_jpeg({}));
  EXPECT_EQ(normalised(alone, options).jpeg, alone);
  EXPECT_EQ(normalised(alone, options).flags & kRecordTranscoded, 0u);
  const Bytes both = with(make_test_jpeg({.exif_orientation = 3}));
  EXPECT_EQ(normalised(both, options).jpeg, alone);
  options.optimise_huffman = true;
  const NormalisedImage transcoded = normalised(both, options);
  EXPECT_TRUE(has_profile(transcoded.jpeg));
  EXPECT_EQ(probed(transcoded.jpeg).exif_orientation, 0);
}

TEST(ImageNormaliser, OrientationIsAppliedOnlyWhenAskedFor) {
  const Bytes jpeg = make_test_jpeg({.width = 60, .height = 40, .quality = 95, .exif_orientation = 6, .detail = false});
  NormaliseOptions options;
  options.apply_orientation = true;
  const NormalisedImage turned = normalised(jpeg, options);
  EXPECT_EQ(turned.width, 40u);
  EXPECT_EQ(turned.height, 60u);
  EXPECT_EQ(turned.flags & ~kRecordReferenceOnly, kRecordReencoded);
  const auto before = pixels_of(jpeg), after = pixels_of(turned.jpeg);
  std::vector<uint8_t> expected(after.size());
  for (size_t y = 0; y < 60; y++) {
    for (size_t x = 0; x < 40; x++) std::memcpy(&expected[(y * 40 + x) * 3], &before[((39 - x) * 60 + y) * 3], 3);
  }
  EXPECT_LT(mean_difference(after, expected), 2.0);
}

TEST(ImageNormaliser, OptionsOutOfRangeAreRefused) {
  for (int quality : {0, 101, -5}) {
    NormaliseOptions options;
    options.quality = quality;
    EXPECT_THROW(normalise_image(make_test_jpeg({}), options), Error);
    options = {};
    options.convert_quality = quality;
    EXPECT_THROW(normalise_image(make_test_jpeg({}), options), Error);
  }
}

TEST(CheckDecodes, IsEmptyForWholeStreamsAndSpeaksForDamagedOnes) {
  for (TestJpeg kind : {TestJpeg{}, TestJpeg{.progressive = true}, TestJpeg{.colour = TestColour::kGray},
                        TestJpeg{.colour = TestColour::kCmyk}}) {
    Bytes jpeg = make_test_jpeg(kind);
    EXPECT_EQ(check_decodes(jpeg), "");
    jpeg.resize(jpeg.size() * 3 / 4);
    EXPECT_NE(check_decodes(jpeg), "");
  }
  EXPECT_NE(check_decodes({}), "");
  EXPECT_NE(check_decodes(to_bytes("no JPEG")), "");
}

TEST(ImageNormaliser, DamagedSourcesOfEveryKindNeverCrash) {
  for (const Bytes& source : {make_test_jpeg({.width = 32, .height = 24}), make_png(24, 24, PNG_FORMAT_RGBA, 4),
                              make_webp(24, 24), make_bmp(24, 24)}) {
    for (size_t at = 0; at < source.size(); at += 1 + source.size() / 300) {
      for (uint8_t flip : {0x01, 0x80, 0xff}) {
        Bytes bad = source;
        bad[at] ^= std::byte{flip};
        const auto outcome = normalise_image(std::move(bad), {});
        if (const auto* image = std::get_if<NormalisedImage>(&outcome)) {
          EXPECT_EQ(check_decodes(image->jpeg), "");
        }
      }
    }
    for (size_t size = 0; size < source.size(); size += 1 + source.size() / 100) {
      normalise_image(Bytes(source.begin(), source.begin() + static_cast<ptrdiff_t>(size)), {});
    }
  }
}

}  // namespace
}  // namespace imgpack::ingest
