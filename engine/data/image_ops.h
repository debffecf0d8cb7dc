// Operations on the pixels of a decoded image, with Pillow's arithmetic to the last bit, so that a policy means here
// what it means in torchvision and timm, which both run on Pillow.
//
//   crop, resize, flip (decoder) --> uint8 RGB --ops, in place--> uint8 RGB --> batch slot
//
// Pure functions of their arguments; tests/parity/test_augment_pixels.py compares each with Pillow.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace imgtrain::data {

// Rows of interleaved 8-bit RGB without padding. Refers to the pixels.
struct RgbImage {
  uint8_t* pixels = nullptr;
  int width = 0, height = 0;
  size_t bytes() const { return static_cast<size_t>(width) * static_cast<size_t>(height) * 3; }
};

enum class Resample { kNearest, kBilinear, kBicubic };

using Rgb = std::array<uint8_t, 3>;

// Output pixel (x, y) shows the input at (m0 x + m1 y + m2, m3 x + m4 y + m5), both at pixel centres.
using Affine = std::array<double, 6>;

Affine rotation(double degrees, int width, int height);  // Counter-clockwise around the middle.

// Memory that operations borrow, kept between calls.
using Scratch = std::vector<uint8_t>;

// Outside the input the output is `fill`.
void transform(const RgbImage& image, const Affine& matrix, Resample resample, const Rgb& fill, Scratch& scratch);

// Factor 1 leaves the image as it is, 0 gives black, grey of its mean brightness, its own grey, and a smoothed image.
void adjust_brightness(const RgbImage& image, double factor);
void adjust_contrast(const RgbImage& image, double factor);
void adjust_colour(const RgbImage& image, double factor);
void adjust_sharpness(const RgbImage& image, double factor, Scratch& scratch);
// Turns the hue by `shift` of the colour circle, in [-0.5, 0.5], in steps of 1/255 (torchvision's adjust_hue).
void shift_hue(const RgbImage& image, double shift);

void posterize(const RgbImage& image, int bits);                   // Keeps that many high bits, 0 to 8.
void solarize(const RgbImage& image, double threshold);            // Inverts what is not below it.
void solarize_add(const RgbImage& image, int add, int threshold);  // Adds to what is below it.
void auto_contrast(const RgbImage& image);                         // Stretches each channel to 0 … 255.
void equalize(const RgbImage& image);                              // Flattens each channel's histogram.
void invert(const RgbImage& image);

}  // namespace imgtrain::data
