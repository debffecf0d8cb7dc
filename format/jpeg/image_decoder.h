// From JPEG bytes to the RGB pixels a network sees, through one window: crop, antialiased resize and flip in one call.
//
//   JPEG [+ entropy index] --ImageDecoder--> uint8 RGB, height x width x 3
//
// Two ways to the pixels: the reference (libjpeg-turbo, crop and skip, no DCT scaling) and the fast path (our own
// baseline decoder, which enters the stream through the record's entropy index). They agree within the bounds that
// docs/decode.md states and tests/parity checks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace imgpack::jpeg {

// Antialiased, with Pillow's coefficients and rounding. kLanczos (three lobes) is what the packer shrinks with.
enum class Filter { kBilinear, kBicubic, kLanczos };

// What part of the source becomes the output. Coordinates in pixels of the stored image; all values are checked.
struct SampleWindow {
  // The pixels that may be read: a crop box for training, the whole image for evaluation.
  int use_x = 0, use_y = 0, use_width = 0, use_height = 0;
  // The region, inside the image, that maps onto the output (real numbers: a centre crop after a resize is one).
  double x0 = 0, y0 = 0, x1 = 0, y1 = 0;
  bool flip = false;  // Horizontally, after resampling.
};

enum class DecodePath { kReference, kFast };

// Not thread-safe; one per worker. Memory: bounded by the window's rows and the output, stated by scratch_bytes().
class ImageDecoder {
 public:
  virtual ~ImageDecoder() = default;
  // Writes out_height x out_width x 3 bytes to `rgb`. Grayscale is expanded; CMYK is refused (packing converts it).
  // Throws Error(kCorruption) for a damaged stream, Error(kInvalidInput) for a window outside the image.
  // Returns which path was taken.
  virtual DecodePath decode(std::span<const std::byte> jpeg, std::span<const std::byte> entropy_index,
                            const SampleWindow& window, int out_width, int out_height, Filter filter, uint8_t* rgb) = 0;
  virtual size_t scratch_bytes() const = 0;
};

enum class DecoderKind {
  kFast,       // The fast path where the record has an entropy index and the stream is covered, else the reference.
  kReference,  // libjpeg-turbo for every image.
};

struct DecoderOptions {
  DecoderKind kind = DecoderKind::kFast;
};

std::unique_ptr<ImageDecoder> make_decoder(const DecoderOptions& options = {});
std::unique_ptr<ImageDecoder> make_reference_decoder();

}  // namespace imgpack::jpeg
