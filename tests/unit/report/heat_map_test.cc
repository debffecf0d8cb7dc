#include "engine/report/portable/heat_map.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "format/jpeg/image_decoder.h"
#include "tests/support/expect_error.h"

namespace imgtrain {
namespace {

using imgpack::ErrorKind;

double lightness(const std::array<uint8_t, 3>& colour) {
  return 0.2126 * colour[0] + 0.7152 * colour[1] + 0.0722 * colour[2];
}

Picture gray(uint32_t width, uint32_t height, uint8_t value) {
  Picture picture = make_picture(width, height);
  std::fill(picture.rgb.begin(), picture.rgb.end(), value);
  return picture;
}

TEST(HeatMap, ColoursGetLighterWithHeatSoThatAnyEyeCanOrderThem) {
  for (int i = 0; i < 100; ++i) EXPECT_LE(lightness(heat_colour(i / 100.0)), lightness(heat_colour((i + 1) / 100.0)));
  EXPECT_EQ(heat_colour(-1), heat_colour(0));
  EXPECT_EQ(heat_colour(2), heat_colour(1));
  EXPECT_EQ(heat_colour(NAN), heat_colour(0));
}

TEST(HeatMap, ACoarseMapIsEnlargedSmoothlyAndKeepsItsPlace) {
  const std::vector<float> heat = {1, 0, 0, 0};  // Hot in the upper left.
  const Picture out = overlay(gray(8, 8, 100), heat, 2, 2);
  const auto light = [&](uint32_t x, uint32_t y) {
    const uint8_t* p = out.rgb.data() + (size_t{y} * 8 + x) * 3;
    return lightness({p[0], p[1], p[2]});
  };
  EXPECT_GT(light(0, 0), light(3, 3));
  EXPECT_GT(light(3, 3), light(7, 7));
  EXPECT_EQ(light(1, 6), light(6, 1));
}

TEST(HeatMap, AMapThatDoesNotFitIsAUsageError) {
  EXPECT_ERROR(overlay(gray(4, 4, 0), std::vector<float>(3), 2, 2), ErrorKind::kUsage, "expected 2 rows of 2 values");
  EXPECT_ERROR(make_picture(0, 4), ErrorKind::kUsage, "found 0 x 4");
  EXPECT_ERROR(png_file({4, 4, std::vector<uint8_t>(7)}), ErrorKind::kUsage, "expected 48 bytes of pixels, found 7");
}

TEST(Picture, AJpegFileDecodesToItsPixels) {
  Picture picture = heat_scale(32, 16);
  const std::string file = jpeg_file(picture, 95);
  std::vector<uint8_t> rgb(picture.rgb.size());
  imgpack::jpeg::SampleWindow window{0, 0, 32, 16, 0, 0, 32, 16};
  imgpack::jpeg::make_reference_decoder()->decode(std::as_bytes(std::span(file)), {}, window, 32, 16,
                                                  imgpack::jpeg::Filter::kBilinear, rgb.data());
  double error = 0;
  for (size_t i = 0; i < rgb.size(); ++i) error += std::abs(rgb[i] - picture.rgb[i]);
  EXPECT_LT(error / static_cast<double>(rgb.size()), 6);
  EXPECT_EQ(png_file(picture).substr(1, 3), "PNG");
}

}  // namespace
}  // namespace imgtrain
