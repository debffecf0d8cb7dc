// Pictures of the synthetic sample: an object whose surface has the class's texture, somewhere in front of a cloudy
// background. A class is a texture, and three of four of its objects are near a colour that is typical of it, as those
// of natural classes are; everything else (background, place, size, turn, light, contrast, noise, bars in front) is
// drawn anew for every picture. So a network makes progress in its first minute, on colour, and has to learn shapes to
// go on.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace imgpack::ingest {

inline constexpr uint32_t kSampleTextures = 12;
std::string_view texture_name(uint32_t texture);  // `stripes`, …

struct SamplePicture {
  uint32_t width = 0;
  uint32_t height = 0;
  std::vector<uint8_t> rgb;  // width x height x 3
};

// The same picture for the same arguments, on every machine. REQUIRES: texture < kSampleTextures, both sizes >= 1.
SamplePicture draw_sample(uint32_t texture, uint32_t width, uint32_t height, uint64_t seed);

}  // namespace imgpack::ingest
