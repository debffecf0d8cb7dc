#include "engine/report/portable/heat_map.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "format/error.h"

namespace imgtrain {
namespace {

// Every sixteenth of matplotlib's inferno (S. van der Walt and N. Smith, CC0); lines between.
constexpr std::array<std::array<uint8_t, 3>, 17> kInferno = {{{0, 0, 4},
                                                              {11, 7, 36},
                                                              {33, 12, 74},
                                                              {61, 9, 101},
                                                              {87, 16, 110},
                                                              {113, 25, 110},
                                                              {138, 34, 106},
                                                              {163, 44, 97},
                                                              {188, 55, 84},
                                                              {210, 70, 68},
                                                              {228, 90, 49},
                                                              {241, 115, 29},
                                                              {249, 142, 9},
                                                              {252, 172, 17},
                                                              {249, 203, 53},
                                                              {242, 234, 105},
                                                              {252, 255, 164}}};

// How much of the colour covers the picture, at heat 0 and 1.
constexpr double kCoverCold = 0.15, kCoverHot = 0.75;

double clamped(double heat) {
  return heat > 0 ? std::min(heat, 1.0) : 0.0;  // NaN compares as false.
}

// Between the centres of neighbouring values, the border's beyond them.
struct Tap {
  uint32_t low = 0, high = 0;
  double share = 0;  // Of `high`.
};

Tap tap(uint32_t at, uint32_t out, uint32_t in) {
  const double position = std::clamp((at + 0.5) * in / out - 0.5, 0.0, static_cast<double>(in - 1));
  Tap tap;
  tap.low = static_cast<uint32_t>(position);
  tap.high = std::min(tap.low + 1, in - 1);
  tap.share = position - tap.low;
  return tap;
}

}  // namespace

std::array<uint8_t, 3> heat_colour(double heat) {
  const double position = clamped(heat) * (kInferno.size() - 1);
  const auto low = std::min(static_cast<size_t>(position), kInferno.size() - 2);
  const double share = position - static_cast<double>(low);
  std::array<uint8_t, 3> colour{};
  for (size_t c = 0; c < colour.size(); ++c)
    colour[c] = static_cast<uint8_t>(std::lround(kInferno[low][c] * (1 - share) + kInferno[low + 1][c] * share));
  return colour;
}

Picture overlay(const Picture& picture, std::span<const float> heat, uint32_t width, uint32_t height) {
  if (width < 1 || height < 1 || heat.size() != size_t{width} * height) {
    throw imgpack::Error(imgpack::ErrorKind::kUsage, "a heat map: expected " + std::to_string(height) + " rows of " +
                                                         std::to_string(width) + " values, found " +
                                                         std::to_string(heat.size()) + " values");
  }
  Picture out = make_picture(picture.width, picture.height);
  if (picture.rgb.size() != out.rgb.size())
    throw imgpack::Error(imgpack::ErrorKind::kUsage, "a picture whose pixels do not fit its size");
  for (uint32_t y = 0; y < out.height; ++y) {
    const Tap down = tap(y, out.height, height);
    const float* upper = heat.data() + size_t{down.low} * width;
    const float* lower = heat.data() + size_t{down.high} * width;
    for (uint32_t x = 0; x < out.width; ++x) {
      const Tap across = tap(x, out.width, width);
      const auto row = [&](const float* values) {
        return clamped(values[across.low]) * (1 - across.share) + clamped(values[across.high]) * across.share;
      };
      const double value = row(upper) * (1 - down.share) + row(lower) * down.share;
      const std::array<uint8_t, 3> colour = heat_colour(value);
      const double cover = kCoverCold + (kCoverHot - kCoverCold) * value;
      const size_t at = (size_t{y} * out.width + x) * 3;
      const uint8_t* pixel = picture.rgb.data() + at;
      const double gray = 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2];
      for (size_t c = 0; c < 3; ++c)
        out.rgb[at + c] = static_cast<uint8_t>(std::lround(gray * (1 - cover) + colour[c] * cover));
    }
  }
  return out;
}

Picture heat_scale(uint32_t width, uint32_t height) {
  Picture scale = make_picture(width, height);
  for (uint32_t y = 0; y < height; ++y) {
    for (uint32_t x = 0; x < width; ++x) {
      const auto colour = heat_colour(width > 1 ? static_cast<double>(x) / (width - 1) : 1.0);
      std::copy(colour.begin(), colour.end(),
                scale.rgb.begin() + static_cast<std::ptrdiff_t>((size_t{y} * width + x) * 3));
    }
  }
  return scale;
}

}  // namespace imgtrain
