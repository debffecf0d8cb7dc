// The header of a stream that the entropy index and the fast decoder cover, ready for decoding.
//
// Covered: one interleaved scan of 8-bit baseline Huffman coding, gray or YCbCr in 4:4:4, 4:2:2, 4:4:0 or 4:2:0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "format/jpeg/huffman_tables.h"

namespace imgpack::jpeg {

inline constexpr int kMaxComponents = 3;
inline constexpr int kMaxBlocksPerMcu = 6;
inline constexpr int kTableSlots = 4;
inline constexpr int kBlockSide = 8;

struct FrameComponent {
  uint8_t id = 0;
  int h = 1, v = 1;               // Blocks per MCU across and down: 1 or 2.
  int quant = 0, dc = 0, ac = 0;  // Table slots.
};

// One of the blocks that follow each other in an MCU.
struct McuBlock {
  const FastEntry* ac = nullptr;  // FastTable::entry
  const CodeTable* dc = nullptr;
  int component = 0;
  int line = 0;  // Which row of blocks of its component within the MCU.
};

// Large (tables); reused from image to image, which saves building tables that stay the same.
struct BaselineHeader {
  BaselineHeader() = default;
  BaselineHeader(const BaselineHeader&) = delete;  // Holds pointers into itself.
  BaselineHeader& operator=(const BaselineHeader&) = delete;

  uint32_t width = 0, height = 0;
  int components = 0;
  int max_h = 1, max_v = 1;
  int mcus_per_row = 0, mcu_rows = 0;
  int blocks_per_mcu = 0;
  int restart_interval = 0;  // MCUs, 0: none.
  size_t scan_begin = 0;     // Offset of the first entropy-coded byte.
  FrameComponent component[kMaxComponents];
  McuBlock block[kMaxBlocksPerMcu];
  uint16_t quant[kTableSlots][kBlockCoefficients];  // In natural order.

  size_t mcu_coefficients() const { return static_cast<size_t>(blocks_per_mcu) * kBlockCoefficients; }

  CodeTable dc_table[kTableSlots], ac_table[kTableSlots];
  FastTable fast_table[kTableSlots];
};

enum class Coverage {
  kCovered,
  kNotCovered,  // Another kind of JPEG, or one whose header another decoder may judge.
};

// Trusts no byte: lengths, slots, code counts and sizes are checked, and every table used was defined by this image.
Coverage parse_baseline_header(std::span<const std::byte> jpeg, BaselineHeader& header);

}  // namespace imgpack::jpeg
