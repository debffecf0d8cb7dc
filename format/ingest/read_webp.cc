#include <webp/decode.h>

#include "format/ingest/pixel_image.h"

namespace imgpack::ingest {

PixelsOrReason read_webp(std::span<const std::byte> bytes) {
  const uint8_t* data = reinterpret_cast<const uint8_t*>(bytes.data());
  WebPBitstreamFeatures features;
  if (WebPGetFeatures(data, bytes.size(), &features) != VP8_STATUS_OK)
    return Quarantine{QuarantineReason::kDamaged, "WebP: its header cannot be read"};
  if (features.has_animation) return Quarantine{QuarantineReason::kUnsupported, "WebP: an animation"};
  const uint32_t width = static_cast<uint32_t>(features.width), height = static_cast<uint32_t>(features.height);
  if (too_many_pixels(width, height)) return too_large(width, height);
  PixelImage image = make_pixel_image(width, height, 3);
  const size_t size = image.row_bytes() * height;
  if (WebPDecodeRGBInto(data, bytes.size(), image.data.data(), size, static_cast<int>(image.row_bytes())) == nullptr)
    return Quarantine{QuarantineReason::kDamaged, "WebP: it cannot be decoded; cut off or damaged"};
  return image;
}

}  // namespace imgpack::ingest
