// A small picture in memory, and its files: JPEG for photographs, PNG for what must keep every pixel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace imgtrain {

inline constexpr uint32_t kMaxPictureSide = 8192;  // Pixels; keeps a picture below 200 MiB.

struct Picture {
  uint32_t width = 0, height = 0;  // Each 1 to kMaxPictureSide.
  std::vector<uint8_t> rgb;        // height x width x 3, rows from top to bottom.
};

// Zeroed. Throws Error(kUsage) for a size out of range.
Picture make_picture(uint32_t width, uint32_t height);

// The bytes of a file. `quality`: 1 to 100. Throw Error(kUsage) for a picture whose bytes do not fit its size,
// Error(kInternal) if libjpeg or libpng refuses. Thread-safe.
std::string jpeg_file(const Picture& picture, int quality = 85);
std::string png_file(const Picture& picture);

}  // namespace imgtrain
