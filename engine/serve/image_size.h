// How large an image says that it is, from its first bytes: so that one beyond the limit is refused before anything is
// allocated for its pixels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace imgtrain::serve {

struct ImageSize {
  uint64_t width = 0, height = 0;
  uint64_t pixels() const { return width * height; }  // Each side has at most 32 bits.
};

// Of JPEG, PNG, WebP and BMP. nullopt: something else, or a header that cannot be read. Thread-safe.
std::optional<ImageSize> image_size(std::span<const std::byte> bytes);

// Throws Error(kInvalidInput) where the image has more pixels than that. What has no readable size passes: decoding
// refuses it by its own limits.
void require_pixels(std::span<const std::byte> bytes, uint64_t max_pixels);

}  // namespace imgtrain::serve
