#include "format/ingest/decode_cost.h"

#include <cstring>
#include <string_view>

#include "format/jpeg/jpeg_probe.h"

namespace imgpack::ingest {
namespace {

constexpr uint64_t kBytesPerPixel = 12;  // As normalise_image() states.

uint64_t pixels_of_jpeg(const jpeg::JpegInfo& info) {
  return uint64_t{info.width} * info.height;
}

bool is_decoded(const jpeg::JpegInfo& info, const NormaliseOptions& options) {
  const bool converted = info.colour == jpeg::ColourModel::kCmyk || info.colour == jpeg::ColourModel::kYcck;
  const bool resampled = options.resize_short > 0 || options.resize_max > 0 || options.reencode;
  const bool transcoded = options.optimise_huffman || (options.to_baseline && !info.baseline);
  const bool oriented = options.apply_orientation && info.exif_orientation > 1;
  // The index walk checks baseline streams as they stand; others are decoded to be checked.
  const bool checked = options.check == StreamCheck::kWhole && !info.baseline;
  return converted || resampled || transcoded || oriented || checked;
}

uint32_t big_endian(std::span<const std::byte> bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | std::to_integer<uint32_t>(bytes[at + i]);
  return value;
}

uint32_t little_endian(std::span<const std::byte> bytes, size_t at, size_t width) {
  uint32_t value = 0;
  for (size_t i = width; i-- > 0;) value = value << 8 | std::to_integer<uint32_t>(bytes[at + i]);
  return value;
}

// Pixels of a PNG, BMP or WebP by its header's size fields, 0 if it is none of these or has none.
uint64_t pixels_of_other(std::span<const std::byte> bytes) {
  if (bytes.size() < 30) return 0;
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.substr(1, 3) == "PNG") return uint64_t{big_endian(bytes, 16)} * big_endian(bytes, 20);
  if (text.substr(0, 2) == "BM") {
    const uint32_t height = little_endian(bytes, 22, 4);
    return uint64_t{little_endian(bytes, 18, 4)} * (height > 1u << 31 ? 0 - height : height);
  }
  if (text.substr(0, 4) != "RIFF" || text.substr(8, 4) != "WEBP") return 0;
  const std::string_view kind = text.substr(12, 4);
  if (kind == "VP8X") return uint64_t{little_endian(bytes, 24, 3) + 1} * (little_endian(bytes, 27, 3) + 1);
  if (kind == "VP8L") {
    const uint32_t sizes = little_endian(bytes, 21, 4);
    return uint64_t{(sizes & 0x3FFF) + 1} * ((sizes >> 14 & 0x3FFF) + 1);
  }
  return uint64_t{little_endian(bytes, 26, 2) & 0x3FFF} * (little_endian(bytes, 28, 2) & 0x3FFF);
}

}  // namespace

uint64_t decode_cost_bytes(std::span<const std::byte> source, const NormaliseOptions& options) {
  if (const auto info = jpeg::probe_jpeg(source, nullptr, jpeg::ProbeDepth::kFirstScan)) {
    return is_decoded(*info, options) ? pixels_of_jpeg(*info) * kBytesPerPixel : 0;
  }
  const uint64_t pixels = pixels_of_other(source);
  return pixels > 0 ? pixels * kBytesPerPixel : source.size();
}

}  // namespace imgpack::ingest
