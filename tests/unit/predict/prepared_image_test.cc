#include "engine/predict/portable/prepared_image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "engine/data/augment.h"
#include "format/ingest/jpeg_writer.h"
#include "format/ingest/pixel_image.h"
#include "format/jpeg/image_decoder.h"
#include "tests/support/expect_error.h"
#include "tests/support/test_jpegs.h"

namespace imgtrain {
namespace {

using imgpack::ErrorKind;
using imgpack::test::make_test_jpeg;
using imgpack::test::TestColour;
using imgpack::test::TestJpeg;

const ImageView kView{.size = 48, .resize = 56};

// A bottom-up BMP of 24 bits.
std::vector<std::byte> bmp_of(uint32_t width, uint32_t height, const std::vector<uint8_t>& rgb) {
  const uint32_t row_bytes = (3 * width + 3) / 4 * 4, pixels = row_bytes * height;
  std::vector<std::byte> out(54 + pixels);
  const auto put = [&](size_t at, uint32_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) out[at + static_cast<size_t>(i)] = static_cast<std::byte>(value >> (8 * i));
  };
  put(0, 'B' | 'M' << 8, 2);
  put(2, 54 + pixels, 4);
  put(10, 54, 4);
  put(14, 40, 4);
  put(18, width, 4);
  put(22, height, 4);
  put(26, 1, 2);
  put(28, 24, 2);
  put(34, pixels, 4);
  for (uint32_t y = 0; y < height; ++y)
    for (uint32_t x = 0; x < width; ++x)
      for (uint32_t c = 0; c < 3; ++c)
        out[54 + size_t{row_bytes} * (height - 1 - y) + 3 * x + 2 - c] =
            static_cast<std::byte>(rgb[(size_t{y} * width + x) * 3 + c]);
  return out;
}

TEST(PreparedImage, AJpegIsWhatTheReferenceDecoderSeesThroughTheEvaluationWindow) {
  for (const TestJpeg& what :
       {TestJpeg{.width = 101, .height = 67, .progressive = true},
        TestJpeg{.width = 61, .height = 133, .colour = TestColour::kGray, .progressive = true}}) {
    const auto jpeg = make_test_jpeg(what);
    const PreparedImage image = prepare_image(jpeg, "a.jpg", kView);
    std::vector<uint8_t> expected(48 * 48 * 3);
    imgpack::jpeg::make_reference_decoder()->decode(jpeg, {}, data::resize_center_crop(what.width, what.height, 56, 48),
                                                    48, 48, imgpack::jpeg::Filter::kBilinear, expected.data());
    EXPECT_EQ(image.pixels, expected);
    EXPECT_EQ(image.size, 48u);
    EXPECT_EQ(image.width, what.width);
    EXPECT_EQ(image.height, what.height);
  }
}

TEST(PreparedImage, PixelsOfOtherFormatsAreResampledAsThoseOfAJpeg) {
  // A JPEG decoded whole and handed in as a BMP: the same picture by the other way.
  const auto jpeg = make_test_jpeg({.width = 90, .height = 140, .progressive = true});
  auto read = imgpack::ingest::read_jpeg(jpeg);
  const auto& whole = std::get<imgpack::ingest::PixelImage>(read);
  const std::vector<uint8_t> rgb(whole.data.begin(), whole.data.begin() + 90 * 140 * 3);
  for (const ImageView& view : {kView, ImageView{.size = 40, .resize = 40, .filter = imgpack::jpeg::Filter::kBicubic},
                                ImageView{.size = 32, .resize = 32, .crop_ratio = 0.875}}) {
    EXPECT_EQ(prepare_image(bmp_of(90, 140, rgb), "a.bmp", view).pixels, prepare_image(jpeg, "a.jpg", view).pixels);
  }
}

TEST(PreparedImage, GrayPixelsAreSpreadOverTheThreeChannels) {
  const auto gray = make_test_jpeg({.width = 70, .height = 90, .colour = TestColour::kGray, .exif_orientation = 6});
  ImageView turned = kView;
  turned.apply_orientation = true;  // Takes the way over whole pixels.
  const PreparedImage image = prepare_image(gray, "gray.jpg", turned);
  bool varied = false;
  for (size_t i = 0; i < image.pixels.size(); i += 3) {
    ASSERT_EQ(image.pixels[i], image.pixels[i + 1]);
    ASSERT_EQ(image.pixels[i], image.pixels[i + 2]);
    varied = varied || image.pixels[i] != image.pixels[0];
  }
  EXPECT_TRUE(varied);
}

TEST(PreparedImage, OrientationIsIgnoredUnlessAskedFor) {
  const TestJpeg what{.width = 80, .height = 60, .progressive = true};
  TestJpeg marked = what;
  marked.exif_orientation = 6;
  const PreparedImage plain = prepare_image(make_test_jpeg(what), "a", kView);
  const PreparedImage ignored = prepare_image(make_test_jpeg(marked), "a", kView);
  EXPECT_EQ(ignored.pixels, plain.pixels);
  ImageView view = kView;
  view.apply_orientation = true;
  const PreparedImage turned = prepare_image(make_test_jpeg(marked), "a", view);
  EXPECT_EQ(turned.width, 60u);
  EXPECT_EQ(turned.height, 80u);
  EXPECT_NE(turned.pixels, plain.pixels);
}

TEST(PreparedImage, CmykIsMixedNotRefused) {
  const PreparedImage image =
      prepare_image(make_test_jpeg({.width = 64, .height = 64, .colour = TestColour::kCmyk}), "ink.jpg", kView);
  EXPECT_NE(image.pixels, std::vector<uint8_t>(image.pixels.size(), image.pixels[0]));
}

TEST(PreparedImage, WhatIsNoImageIsRefusedWithTheReason) {
  const auto text = [](std::string_view what) { return std::as_bytes(std::span(what)); };
  EXPECT_ERROR(prepare_image({}, "none", kView), ErrorKind::kInvalidInput, "none: this image cannot be used (empty)");
  EXPECT_ERROR(prepare_image(text("hello, this is a text"), "t", kView), ErrorKind::kInvalidInput, "(not-an-image)");
  EXPECT_ERROR(prepare_image(text("GIF89a\1\0\1\0"), "g", kView), ErrorKind::kInvalidInput, "(unsupported): GIF");
}

TEST(PreparedImage, EveryTruncationIsRefusedOrHarmless) {
  for (const bool progressive : {false, true}) {
    const auto jpeg = make_test_jpeg({.width = 64, .height = 64, .progressive = progressive});
    int refused = 0;
    for (size_t bytes = 0; bytes + 2 < jpeg.size(); bytes += 7) {
      try {
        prepare_image(std::span(jpeg).first(bytes), "cut", kView);
      } catch (const imgpack::Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kInvalidInput) << error.what();
        ++refused;
      }
    }
    EXPECT_GT(refused, 100);
  }
}

TEST(PreparedImage, ManyThreadsGetTheSamePixels) {
  const auto jpeg = make_test_jpeg({.width = 150, .height = 120});
  const auto expected = prepare_image(jpeg, "a", kView).pixels;
  std::vector<std::vector<uint8_t>> found(8);
  std::vector<std::thread> threads;
  for (auto& pixels : found)
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) pixels = prepare_image(jpeg, "a", kView).pixels;
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(found, testing::Each(expected));
}

}  // namespace
}  // namespace imgtrain
