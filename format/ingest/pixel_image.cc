#include "format/ingest/pixel_image.h"

#include <algorithm>
#include <string>
#include <utility>

#include "format/jpeg/limits.h"
#include "format/jpeg/resample.h"

namespace imgpack::ingest {
namespace {

constexpr int kStripRows = 16;

// Gray rows as RGB ones, which is what the resampler takes.
void spread_gray(const uint8_t* gray, size_t pixels, uint8_t* rgb) {
  for (size_t i = 0; i < pixels; i++, rgb += 3) rgb[0] = rgb[1] = rgb[2] = gray[i];
}

}  // namespace

PixelImage make_pixel_image(uint32_t width, uint32_t height, int channels) {
  PixelImage image{width, height, channels, {}};
  image.data.resize(image.row_bytes() * height + jpeg::kResampleReadSlack);
  return image;
}

bool too_many_pixels(uint64_t width, uint64_t height) {
  return width * height > jpeg::kMaxPixels;
}

Quarantine too_large(uint64_t width, uint64_t height) {
  return {QuarantineReason::kTooLarge, std::to_string(width) + "x" + std::to_string(height) +
                                           " pixels, more than the limit of " + std::to_string(jpeg::kMaxPixels)};
}

PixelImage shrink(const PixelImage& image, uint32_t width, uint32_t height) {
  jpeg::SampleWindow window;
  window.use_width = static_cast<int>(image.width);
  window.use_height = static_cast<int>(image.height);
  window.x1 = image.width;
  window.y1 = image.height;
  jpeg::Resampler resampler;
  resampler.begin(window, static_cast<int>(width), static_cast<int>(height), jpeg::Filter::kLanczos);
  PixelImage out = make_pixel_image(width, height, 3);
  if (image.channels == 3) {
    resampler.push_rows(image.data.data(), image.row_bytes(), static_cast<int>(image.height));
    resampler.finish(out.data.data());
    return out;
  }
  const size_t strip_bytes = image.row_bytes() * 3;
  std::vector<uint8_t> strip(strip_bytes * kStripRows + jpeg::kResampleReadSlack);
  for (uint32_t y = 0; y < image.height; y += kStripRows) {
    const uint32_t rows = std::min<uint32_t>(kStripRows, image.height - y);
    spread_gray(image.row(y), image.row_bytes() * rows, strip.data());
    resampler.push_rows(strip.data(), strip_bytes, static_cast<int>(rows));
  }
  resampler.finish(out.data.data());
  PixelImage gray = make_pixel_image(width, height, 1);
  for (size_t i = 0; i < gray.row_bytes() * height; i++) gray.data[i] = out.data[3 * i];
  return gray;
}

PixelImage orient(const PixelImage& image, int exif_orientation) {
  const bool turned = exif_orientation >= 5;
  PixelImage out =
      make_pixel_image(turned ? image.height : image.width, turned ? image.width : image.height, image.channels);
  const uint32_t right = image.width - 1, bottom = image.height - 1;
  const size_t channels = static_cast<size_t>(image.channels);
  for (uint32_t y = 0; y < out.height; y++) {
    uint8_t* to = out.row(y);
    for (uint32_t x = 0; x < out.width; x++, to += channels) {
      uint32_t from_x = turned ? y : x, from_y = turned ? x : y;
      if (exif_orientation == 2 || exif_orientation == 3 || exif_orientation >= 7) from_x = right - from_x;
      if (exif_orientation == 3 || exif_orientation == 4 || exif_orientation == 6 || exif_orientation == 7)
        from_y = bottom - from_y;
      std::copy_n(image.row(from_y) + channels * from_x, channels, to);
    }
  }
  return out;
}

}  // namespace imgpack::ingest
