// One encoded image as a model sees it: decoded, resized and cropped exactly as evaluation does.
//
//   JPEG --normalise (the packer's checks)--> fast decoder, one window -----------+--> size x size x 3 bytes
//   PNG, WebP, BMP, CMYK JPEG --> pixels --> the same resampler, the same window --+
//
// A JPEG's pixels are those that evaluation would have of it after packing, bit for bit. Other formats are packed as
// JPEG; here they are used without that loss.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "format/jpeg/image_decoder.h"

namespace imgtrain {

// How images are looked at.
struct ImageView {
  uint32_t size = 224;    // Of the square that the model sees, pixels.
  uint32_t resize = 256;  // Short side before the centre crop. REQUIRES: size <= resize.
  double crop_ratio = 0;  // Above 0: the middle square of this share of the short side, resized as a whole, instead.
  imgpack::jpeg::Filter filter = imgpack::jpeg::Filter::kBilinear;
  bool apply_orientation = false;  // Turn the pixels as EXIF asks. Off: as stored, as in training and evaluation.
};

struct PreparedImage {
  uint32_t size = 0;
  std::vector<uint8_t> pixels;     // RGB, size x size x 3.
  uint32_t width = 0, height = 0;  // Of the source, as stored (turned where it was turned).
};

// Any thread. Accepts what imgpack packs, by content, within its limits (format/jpeg/limits.h). Throws
// Error(kInvalidInput) for everything else, with the reason; its path is `name`.
PreparedImage prepare_image(std::span<const std::byte> encoded, const std::string& name, const ImageView& view);

}  // namespace imgtrain
