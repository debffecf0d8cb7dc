// Decoded pixels on their way from one encoding to another.
//
//   PNG, WebP, BMP, JPEG bytes --read_*--> PixelImage --shrink, orient--> PixelImage --encode_jpeg--> JPEG bytes
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <variant>
#include <vector>

#include "format/ingest/image_normaliser.h"

namespace imgpack::ingest {

struct PixelImage {
  uint32_t width = 0;
  uint32_t height = 0;
  int channels = 3;           // 1: gray, 3: RGB, interleaved, rows without padding.
  std::vector<uint8_t> data;  // At least row_bytes() * height bytes; the readers below leave slack for vector loads.

  size_t row_bytes() const { return static_cast<size_t>(width) * static_cast<size_t>(channels); }
  uint8_t* row(uint32_t y) { return data.data() + row_bytes() * y; }
  const uint8_t* row(uint32_t y) const { return data.data() + row_bytes() * y; }
};

// Zeroed, with slack. REQUIRES dimensions that were checked against jpeg::kMaxPixels.
PixelImage make_pixel_image(uint32_t width, uint32_t height, int channels);

using PixelsOrReason = std::variant<PixelImage, Quarantine>;

// Colours as Pillow's convert("RGB") makes them: alpha is dropped, CMYK ink is taken as inverted (Adobe's way) and
// mixed without a profile, gamma chunks and ICC profiles are ignored. Gray stays gray.
PixelsOrReason read_jpeg(std::span<const std::byte> bytes);
PixelsOrReason read_png(std::span<const std::byte> bytes);
PixelsOrReason read_webp(std::span<const std::byte> bytes);
PixelsOrReason read_bmp(std::span<const std::byte> bytes);

// Every reader asks before it allocates.
bool too_many_pixels(uint64_t width, uint64_t height);
Quarantine too_large(uint64_t width, uint64_t height);

// By Lanczos' filter with three lobes, antialiased: what survives of fine detail survives the second, softer resize in
// training best. REQUIRES width and height between 1 and the image's.
PixelImage shrink(const PixelImage& image, uint32_t width, uint32_t height);

// Turned and mirrored as EXIF's orientation (1 to 8) asks.
PixelImage orient(const PixelImage& image, int exif_orientation);

}  // namespace imgpack::ingest
