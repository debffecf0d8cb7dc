// Antialiased resizing of 8-bit RGB: a horizontal pass over the rows a window needs, then a vertical one, with 8-bit
// values in between. Equal to Pillow's Image.resize to the last bit, on every SIMD target (integer arithmetic).
//
//   rows from the decoder --push_rows--> narrow rows (out_width) --finish--> out_height x out_width x 3
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "format/jpeg/image_decoder.h"
#include "format/jpeg/resample_taps.h"

namespace imgpack::jpeg {

// Bytes that the kernels may read past the last byte of a source row.
inline constexpr size_t kResampleReadSlack = 64;

// Reused from image to image so that its buffers are. Not thread-safe.
class Resampler {
 public:
  // Prepares for one window of an image. REQUIRES a window that check_window accepted.
  void begin(const SampleWindow& window, int out_width, int out_height, Filter filter);

  // The pixels that have to be decoded, in image coordinates.
  int first_column() const { return first_column_; }
  int end_column() const { return end_column_; }
  int first_row() const { return first_row_; }
  int end_row() const { return end_row_; }

  // The next `rows` rows, from first_row() on and in order. `pixels` is the RGB pixel at first_column() of the first;
  // kResampleReadSlack bytes after each row must be readable.
  void push_rows(const uint8_t* pixels, size_t stride, int rows);

  // REQUIRES that all rows were pushed. Writes out_height x out_width x 3 bytes.
  void finish(uint8_t* rgb);

  size_t scratch_bytes() const;

 private:
  ResampleTaps across_, down_;
  std::vector<int16_t> across_pairs_, down_pairs_;  // Weights as the kernels read them.
  int across_groups_ = 0;                           // Of taps, per output.
  std::vector<uint8_t> narrow_;                     // The rows after the horizontal pass.
  size_t narrow_stride_ = 0;
  int first_column_ = 0, end_column_ = 0, first_row_ = 0, end_row_ = 0;
  int pushed_ = 0;
};

}  // namespace imgpack::jpeg
