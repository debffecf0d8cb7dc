// What a file is by its first bytes; names and extensions are not believed.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace imgpack::ingest {

enum class ImageKind { kJpeg, kPng, kWebp, kBmp, kOtherImage, kNotAnImage };

struct KindGuess {
  ImageKind kind = ImageKind::kNotAnImage;
  std::string_view name;  // For people: `JPEG`, `GIF`, `a zip archive`, `text`, `unknown bytes`.
};

KindGuess guess_kind(std::span<const std::byte> bytes);

}  // namespace imgpack::ingest
