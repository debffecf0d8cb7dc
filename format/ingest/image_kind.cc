#include "format/ingest/image_kind.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace imgpack::ingest {
namespace {

struct Magic {
  size_t offset;
  std::string_view bytes;
  ImageKind kind;
  std::string_view name;
};

using namespace std::string_view_literals;

constexpr std::array kMagics = {
    Magic{0, "\xff\xd8\xff"sv, ImageKind::kJpeg, "JPEG"},
    Magic{0, "\x89PNG\r\n\x1a\n"sv, ImageKind::kPng, "PNG"},
    Magic{8, "WEBPVP8"sv, ImageKind::kWebp, "WebP"},
    Magic{0, "BM"sv, ImageKind::kBmp, "BMP"},
    Magic{0, "GIF8"sv, ImageKind::kOtherImage, "GIF"},
    Magic{0, "II*\0"sv, ImageKind::kOtherImage, "TIFF"},
    Magic{0, "MM\0*"sv, ImageKind::kOtherImage, "TIFF"},
    Magic{0, "8BPS"sv, ImageKind::kOtherImage, "Photoshop"},
    Magic{0, "\0\0\0\x0cjP  "sv, ImageKind::kOtherImage, "JPEG 2000"},
    Magic{0, "\xff\x0a"sv, ImageKind::kOtherImage, "JPEG XL"},
    Magic{0, "\0\0\0\x0cJXL "sv, ImageKind::kOtherImage, "JPEG XL"},
    Magic{4, "ftypavif"sv, ImageKind::kOtherImage, "AVIF"},
    Magic{4, "ftyphei"sv, ImageKind::kOtherImage, "HEIF"},
    Magic{4, "ftypmif1"sv, ImageKind::kOtherImage, "HEIF"},
    Magic{0, "PK\x03\x04"sv, ImageKind::kNotAnImage, "a zip archive"},
    Magic{0, "\x1f\x8b"sv, ImageKind::kNotAnImage, "gzip data"},
    Magic{0, "%PDF"sv, ImageKind::kNotAnImage, "a PDF document"},
    Magic{257, "ustar"sv, ImageKind::kNotAnImage, "a tar archive"},
};

bool has(std::span<const std::byte> bytes, const Magic& magic) {
  if (bytes.size() < magic.offset + magic.bytes.size()) return false;
  return std::equal(magic.bytes.begin(), magic.bytes.end(), bytes.begin() + static_cast<ptrdiff_t>(magic.offset),
                    [](char a, std::byte b) { return static_cast<uint8_t>(a) == static_cast<uint8_t>(b); });
}

bool is_text(std::span<const std::byte> bytes) {
  const auto head = bytes.first(std::min<size_t>(bytes.size(), 512));
  return std::all_of(head.begin(), head.end(), [](std::byte b) {
    const uint8_t c = static_cast<uint8_t>(b);
    return c >= 0x20 || c == '\n' || c == '\r' || c == '\t' || c == '\f';
  });
}

}  // namespace

KindGuess guess_kind(std::span<const std::byte> bytes) {
  for (const Magic& magic : kMagics) {
    if (has(bytes, magic)) return {magic.kind, magic.name};
  }
  return {ImageKind::kNotAnImage, is_text(bytes) ? "text" : "unknown bytes"};
}

}  // namespace imgpack::ingest
