#include "format/jpeg/exif_orientation.h"

#include <cstddef>
#include <cstring>

namespace imgpack::jpeg {
namespace {

constexpr char kExifName[6] = {'E', 'x', 'i', 'f', '\0', '\0'};
constexpr uint32_t kOrientationTag = 0x0112;
constexpr uint32_t kTypeShort = 3;
constexpr size_t kEntryBytes = 12;

// Integers of a TIFF block in its own byte order, zero outside of it.
class TiffBytes {
 public:
  TiffBytes(std::span<const uint8_t> bytes, bool big_endian) : bytes_(bytes), big_endian_(big_endian) {}

  uint32_t u16(size_t at) const {
    if (bytes_.size() < 2 || at > bytes_.size() - 2) return 0;
    const uint32_t a = bytes_[at], b = bytes_[at + 1];
    return big_endian_ ? a << 8 | b : b << 8 | a;
  }
  uint32_t u32(size_t at) const {
    const uint32_t a = u16(at), b = u16(at + 2);
    return big_endian_ ? a << 16 | b : b << 16 | a;
  }

 private:
  std::span<const uint8_t> bytes_;
  bool big_endian_;
};

}  // namespace

int exif_orientation(std::span<const uint8_t> app1) {
  if (app1.size() < sizeof kExifName + 8 || std::memcmp(app1.data(), kExifName, sizeof kExifName) != 0) return 0;
  const std::span<const uint8_t> tiff = app1.subspan(sizeof kExifName);
  const bool big_endian = tiff[0] == 'M' && tiff[1] == 'M';
  if (!big_endian && !(tiff[0] == 'I' && tiff[1] == 'I')) return 0;
  const TiffBytes bytes(tiff, big_endian);
  if (bytes.u16(2) != 42) return 0;
  const size_t directory = bytes.u32(4);
  const uint32_t entries = bytes.u16(directory);
  for (uint32_t i = 0; i < entries; i++) {
    const size_t entry = directory + 2 + i * kEntryBytes;
    if (entry + kEntryBytes > tiff.size()) return 0;
    if (bytes.u16(entry) != kOrientationTag) continue;
    const uint32_t value = bytes.u16(entry + 8);
    return bytes.u16(entry + 2) == kTypeShort && value >= 1 && value <= 8 ? static_cast<int>(value) : 0;
  }
  return 0;
}

}  // namespace imgpack::jpeg
