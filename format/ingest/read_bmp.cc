// Windows and OS/2 bitmaps: 1, 4, 8 bits with a palette, 16, 24 and 32 bits, without compression.
#include <array>
#include <bit>
#include <cstring>
#include <string>

#include "format/ingest/pixel_image.h"

namespace imgpack::ingest {
namespace {

constexpr size_t kFileHeaderBytes = 14;
constexpr size_t kCoreHeaderBytes = 12;  // OS/2: 16-bit sizes, palette of three bytes a colour.
constexpr size_t kInfoHeaderBytes = 40;
constexpr uint32_t kUncompressed = 0;
constexpr uint32_t kBitFields = 3;

// Little-endian integers; zero outside of the bytes, which the checks below then refuse.
class LittleEndian {
 public:
  explicit LittleEndian(std::span<const std::byte> bytes) : bytes_(bytes) {}
  size_t size() const { return bytes_.size(); }
  uint32_t u8(size_t at) const { return at < bytes_.size() ? static_cast<uint32_t>(bytes_[at]) : 0; }
  uint32_t u16(size_t at) const { return u8(at) | u8(at + 1) << 8; }
  uint32_t u32(size_t at) const { return u16(at) | u16(at + 2) << 16; }
  const uint8_t* at(size_t offset) const { return reinterpret_cast<const uint8_t*>(bytes_.data()) + offset; }

 private:
  std::span<const std::byte> bytes_;
};

struct BmpHeader {
  uint32_t width = 0, height = 0;
  bool top_down = false;
  uint32_t bits = 0;
  size_t pixels_at = 0, palette_at = 0, palette_entry = 4;
  uint32_t palette_colours = 0;
  std::array<uint32_t, 3> mask{};  // Of red, green and blue in 16- and 32-bit pixels.
};

// Empty: understood.
std::string parse_header(const LittleEndian& in, BmpHeader& h) {
  const size_t header_bytes = in.u32(kFileHeaderBytes);
  h.pixels_at = in.u32(10);
  uint32_t compression = kUncompressed;
  if (header_bytes == kCoreHeaderBytes) {
    h.width = in.u16(18);
    h.height = in.u16(20);
    h.bits = in.u16(24);
    h.palette_entry = 3;
  } else if (header_bytes >= kInfoHeaderBytes && header_bytes <= 256) {
    const int32_t height = static_cast<int32_t>(in.u32(22));
    h.width = in.u32(18);
    h.top_down = height < 0;
    h.height = h.top_down ? 0u - static_cast<uint32_t>(height) : static_cast<uint32_t>(height);
    h.bits = in.u16(28);
    compression = in.u32(30);
    h.palette_colours = in.u32(46);
  } else {
    return "its header has an unknown size";
  }
  if (compression != kUncompressed && compression != kBitFields) return "it is compressed, which is not supported";
  h.palette_at = kFileHeaderBytes + header_bytes;
  if (h.bits == 16) h.mask = {0x7c00, 0x03e0, 0x001f};
  if (h.bits == 32) h.mask = {0xff0000, 0x00ff00, 0x0000ff};
  if (compression == kBitFields) {
    if (h.bits != 16 && h.bits != 32) return "bit fields in a bitmap that is neither 16 nor 32 bits deep";
    for (size_t c = 0; c < 3; c++) h.mask[c] = in.u32(kFileHeaderBytes + kInfoHeaderBytes + 4 * c);
  }
  if (h.bits <= 8 && (h.palette_colours == 0 || h.palette_colours > 1u << h.bits)) h.palette_colours = 1u << h.bits;
  return {};
}

// The bits under `mask`, scaled to 0..255.
uint8_t field(uint32_t pixel, uint32_t mask) {
  if (mask == 0) return 0;
  const int shift = std::countr_zero(mask);
  const uint64_t most = mask >> shift;
  return static_cast<uint8_t>((static_cast<uint64_t>((pixel & mask) >> shift) * 255 + most / 2) / most);
}

void read_indexed_row(const LittleEndian& in, const BmpHeader& h, const uint8_t* src, uint8_t* out) {
  const uint32_t per_byte = 8 / h.bits, index_mask = (1u << h.bits) - 1;
  for (uint32_t x = 0; x < h.width; x++, out += 3) {
    const uint32_t index = src[x / per_byte] >> (8 - h.bits * (x % per_byte + 1)) & index_mask;
    const size_t colour = h.palette_at + h.palette_entry * index;  // Blue, green, red.
    const bool known = index < h.palette_colours;
    for (size_t c = 0; c < 3; c++) out[c] = known ? static_cast<uint8_t>(in.u8(colour + 2 - c)) : 0;
  }
}

void read_direct_row(const BmpHeader& h, const uint8_t* src, uint8_t* out) {
  const size_t bytes = h.bits / 8;
  for (uint32_t x = 0; x < h.width; x++, src += bytes, out += 3) {
    if (bytes == 3) {
      out[0] = src[2], out[1] = src[1], out[2] = src[0];
      continue;
    }
    uint32_t pixel = src[0] | static_cast<uint32_t>(src[1]) << 8;
    if (bytes == 4) pixel |= static_cast<uint32_t>(src[2]) << 16 | static_cast<uint32_t>(src[3]) << 24;
    for (size_t c = 0; c < 3; c++) out[c] = field(pixel, h.mask[c]);
  }
}

}  // namespace

PixelsOrReason read_bmp(std::span<const std::byte> bytes) {
  const LittleEndian in(bytes);
  BmpHeader h;
  const std::string wrong = parse_header(in, h);
  if (!wrong.empty()) return Quarantine{QuarantineReason::kUnsupported, "BMP: " + wrong};
  if (h.bits != 1 && h.bits != 4 && h.bits != 8 && h.bits != 16 && h.bits != 24 && h.bits != 32)
    return Quarantine{QuarantineReason::kUnsupported, "BMP: " + std::to_string(h.bits) + " bits per pixel"};
  if (h.width == 0 || h.height == 0) return Quarantine{QuarantineReason::kDamaged, "BMP: its width or height is zero"};
  if (too_many_pixels(h.width, h.height)) return too_large(h.width, h.height);
  const size_t row_bytes = (static_cast<size_t>(h.width) * h.bits + 31) / 32 * 4;
  if (h.pixels_at > in.size() || row_bytes * h.height > in.size() - h.pixels_at)
    return Quarantine{QuarantineReason::kDamaged, "BMP: it is cut off"};
  PixelImage image = make_pixel_image(h.width, h.height, 3);
  for (uint32_t y = 0; y < h.height; y++) {
    const uint32_t stored = h.top_down ? y : h.height - 1 - y;
    const uint8_t* src = in.at(h.pixels_at + row_bytes * stored);
    if (h.bits <= 8) {
      read_indexed_row(in, h, src, image.row(y));
    } else {
      read_direct_row(h, src, image.row(y));
    }
  }
  return image;
}

}  // namespace imgpack::ingest
