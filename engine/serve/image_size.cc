#include "engine/serve/image_size.h"

#include <webp/decode.h>

#include <string>

#include "format/error.h"
#include "format/ingest/image_kind.h"
#include "format/jpeg/jpeg_probe.h"

namespace imgtrain::serve {
namespace {

uint64_t big_endian(std::span<const std::byte> four) {
  uint64_t value = 0;
  for (const std::byte byte : four) value = value << 8 | static_cast<uint64_t>(byte);
  return value;
}

// A BMP's sides are signed: a negative height means rows from top to bottom.
uint64_t little_endian_size(std::span<const std::byte> four) {
  uint32_t value = 0;
  for (size_t i = four.size(); i-- > 0;) value = value << 8 | static_cast<uint32_t>(four[i]);
  const auto number = static_cast<int64_t>(static_cast<int32_t>(value));
  return static_cast<uint64_t>(number < 0 ? -number : number);
}

}  // namespace

std::optional<ImageSize> image_size(std::span<const std::byte> bytes) {
  constexpr size_t kPngSides = 16, kBmpSides = 18, kSide = 4;
  switch (imgpack::ingest::guess_kind(bytes).kind) {
    case imgpack::ingest::ImageKind::kJpeg:
      if (const auto info = imgpack::jpeg::probe_jpeg(bytes, nullptr, imgpack::jpeg::ProbeDepth::kFirstScan))
        return ImageSize{info->width, info->height};
      return std::nullopt;
    case imgpack::ingest::ImageKind::kPng:
      if (bytes.size() < kPngSides + 2 * kSide) return std::nullopt;
      return ImageSize{big_endian(bytes.subspan(kPngSides, kSide)),
                       big_endian(bytes.subspan(kPngSides + kSide, kSide))};
    case imgpack::ingest::ImageKind::kBmp:
      if (bytes.size() < kBmpSides + 2 * kSide) return std::nullopt;
      return ImageSize{little_endian_size(bytes.subspan(kBmpSides, kSide)),
                       little_endian_size(bytes.subspan(kBmpSides + kSide, kSide))};
    case imgpack::ingest::ImageKind::kWebp: {
      int width = 0, height = 0;
      if (WebPGetInfo(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), &width, &height) == 0)
        return std::nullopt;
      return ImageSize{static_cast<uint64_t>(width), static_cast<uint64_t>(height)};
    }
    case imgpack::ingest::ImageKind::kOtherImage:
    case imgpack::ingest::ImageKind::kNotAnImage:
      break;
  }
  return std::nullopt;
}

void require_pixels(std::span<const std::byte> bytes, uint64_t max_pixels) {
  const auto size = image_size(bytes);
  if (!size || size->pixels() <= max_pixels) return;
  throw imgpack::Error(imgpack::ErrorKind::kInvalidInput, "expected an image of at most " + std::to_string(max_pixels) +
                                                              " pixels, found " + std::to_string(size->width) + " x " +
                                                              std::to_string(size->height));
}

}  // namespace imgtrain::serve
