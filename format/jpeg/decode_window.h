// The check that every decoder makes before it believes a window.
#pragma once

#include <cstdint>

#include "format/jpeg/image_decoder.h"

namespace imgpack::jpeg {

inline constexpr int kMaxOutputSide = 16'384;  // Pixels.

// Throws Error(kInvalidInput) unless the pixels to use lie in the width x height image, the mapped region lies in them
// (to within a thousandth of a pixel, which rounding may cost) and the output has a sensible size.
void check_window(const SampleWindow& window, uint32_t width, uint32_t height, int out_width, int out_height);

}  // namespace imgpack::jpeg
