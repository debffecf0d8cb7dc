// From coefficients to RGB, one plane and one row at a time. Dispatched to the best SIMD target at run time; the scalar
// code in pixel_kernels_scalar-inl.h defines the arithmetic, and every target gives the same values for any input.
//
//   zigzag coefficients --inverse_dct_row--> 8 lines of samples --resize_rows--> one line per output row --to_rgb-->
//   RGB
#pragma once

#include <cstddef>
#include <cstdint>

#include "format/jpeg/huffman_tables.h"
#include "format/jpeg/planar_taps.h"

namespace imgpack::jpeg {

// Samples that inverse_dct_row may write past the end of each line, and render_rows may read past it.
inline constexpr size_t kLineSlack = 128;

// Resized samples carry this many fraction bits until the colours are mixed.
inline constexpr int kSampleBits = 6;

// A row of neighbouring blocks of one component.
struct BlockRow {
  const int16_t* coefficients = nullptr;  // Of the first block.
  int blocks = 0;
  int across = 1;         // Blocks of this component side by side in an MCU: 1 or 2.
  size_t mcu_stride = 0;  // Coefficients from one MCU to the next.
};

// libjpeg's accurate integer transform ("islow"), rows before columns. `quant` is in mirrored natural order
// (quant[column * 8 + row]).
void inverse_dct_row(const BlockRow& row, const int16_t* quant, uint8_t* dst, size_t dst_stride);

// One component on its way to the output.
struct RenderPlane {
  const uint8_t* src = nullptr;  // The line of source row `first_source_row`, at the column that `across` calls 0.
  size_t src_stride = 0;
  int first_source_row = 0;
  int width = 0;  // Samples of a line that `across` reads.
  const PlanarTaps* down = nullptr;
  const HorizontalPlan* across = nullptr;
};

struct RenderJob {
  RenderPlane plane[3];           // Y, Cb, Cr.
  int components = 0;             // 1 or 3.
  bool negative_weights = false;  // The filter has lobes below zero.
  uint8_t* line = nullptr;        // Scratch: the widest plane's width + kLineSlack bytes.
  int16_t* samples = nullptr;     // Scratch: 3 * sample_stride.
  size_t sample_stride = 0;       // At least rounded_outputs(out_width) + kLineSlack.
  int out_width = 0;
  uint8_t* rgb = nullptr;  // Of output row 0; rows of 3 * out_width bytes, and not a byte is written outside of them.
};

// Output rows [begin, end): each plane is summed over source rows to 8 bits, then across, then the colours are mixed.
void render_rows(const RenderJob& job, int begin, int end);

}  // namespace imgpack::jpeg
