// A heat map laid over the picture that it belongs to, for people: Grad-CAM's answer to "where did it look?"
//
//   picture (RGB bytes) + heat (h x w, 0..1) --overlay--> picture of the same size
//
// Colours are matplotlib's inferno: lightness rises with heat, so that the map reads the same with any kind of colour
// vision and in print. Cold parts let the photograph through in gray, hot ones glow.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "engine/report/portable/picture.h"

namespace imgtrain {

// The colour of `heat`, clamped to 0..1; NaN counts as 0.
std::array<uint8_t, 3> heat_colour(double heat);

// `heat`: `height` rows of `width` values, of any size; it is enlarged or shrunk to the picture's bilinearly. Throws
// Error(kUsage) where sizes do not fit. Thread-safe.
Picture overlay(const Picture& picture, std::span<const float> heat, uint32_t width, uint32_t height);

// Side by side with a scale: the colours from 0 to 1, for a legend. `width` x `height` pixels, left to right.
Picture heat_scale(uint32_t width, uint32_t height);

}  // namespace imgtrain
