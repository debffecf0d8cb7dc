// What a pixel's value becomes before the first convolution: (value / 255 - mean) / deviation, per channel, RGB.
#pragma once

#include <array>

namespace imgtrain {

// ImageNet's constants, of values in 0 … 1.
inline constexpr std::array<double, 3> kPixelMean = {0.485, 0.456, 0.406};
inline constexpr std::array<double, 3> kPixelDeviation = {0.229, 0.224, 0.225};

}  // namespace imgtrain
