// The Huffman stage: entropy-coded bytes to coefficients, or to a walk's entry points. Dispatched to the best SIMD
// target at run time; every target gives the same numbers.
//
//   scan bytes --destuff--> bytes without stuffing --decode_segments--> zigzag coefficients, 64 per block
//                                                  --walk_segment----> positions and DC predictors of chosen MCUs
//
// None of these believes a byte of the stream: reads stay within the input and its padding, stores within the output
// and its padding, whatever the bits say.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "format/jpeg/baseline_header.h"

namespace imgpack::jpeg {

// Bytes that must be readable after destuffed ones, zero or not. A block takes at most 16 + 11 + 63 * (16 + 10) bits,
// and a refill looks eight bytes ahead, so a stream checked after each block stays within this of its end.
inline constexpr size_t kStreamPadding = 288;
// Coefficients that must be writable after a segment's last block: the zero that goes with an end-of-block code or with
// a FastEntry that does not fit lands up to so far past it.
inline constexpr size_t kCoefficientPadding = 128;
static_assert(kCoefficientPadding * sizeof(int16_t) >= std::max(kEndOfBlockAdvance, kSlowAdvance));
// Bytes that destuff may write past what it returns.
inline constexpr size_t kDestuffSlack = 128;

struct Destuffed {
  size_t written = 0;   // Bytes at `dst`.
  size_t consumed = 0;  // Bytes of `src`: n, or up to the 0xFF of the first marker.
};

// Copies entropy-coded bytes without the zero that follows each 0xFF, up to the first marker. A 0xFF as the last byte
// is copied. If `removed` is not null, the offset in `dst` that follows each such 0xFF is appended to it.
Destuffed destuff(const uint8_t* src, size_t n, uint8_t* dst, std::vector<uint32_t>* removed = nullptr);

// A run of MCUs that can be decoded on its own.
struct EntropySegment {
  const uint8_t* bytes = nullptr;  // Destuffed, kStreamPadding more readable.
  size_t size = 0;
  int first_bit = 0;                // Of the first byte, 0 (highest) to 7.
  int16_t dc[kMaxComponents] = {};  // Predictors before the first block, after decoding those behind the last.
  int16_t* coefficients = nullptr;  // blocks_per_mcu * 64 per MCU, kCoefficientPadding more writable.
  int mcus = 0;                     // At least 1.
  uint64_t expected_end_bit = 0;    // Where the last block has to end, in bits from `bytes`; 0: anywhere.
};

// Decodes all segments, several at a time on the calling thread, taken in the order given: with the longest first the
// last ones end together. False: a code that does not exist, a block with more than 64 coefficients, or a segment that
// needs more bytes than it has or does not end where it has to.
bool decode_segments(const BaselineHeader& header, std::span<EntropySegment* const> segments);

struct WalkState {
  uint64_t bit = 0;  // Position in the destuffed bytes.
  int16_t dc[kMaxComponents] = {};
};

// Moves over `mcus` MCUs from `state` without keeping coefficients, and appends the state before every MCU whose number
// (counted from `first_mcu` within its row of header.mcus_per_row) is a multiple of `every`.
// False as for decode_segments, also where a DC value leaves 12 bits.
class SkipTables;
bool walk_segment(const BaselineHeader& header, const SkipTables& tables, const uint8_t* bytes, size_t size,
                  int64_t first_mcu, int64_t mcus, int every, WalkState& state, std::vector<WalkState>& entries);

// Per AC table: how far one lookup moves, over two symbols where they fit.
class SkipTables {
 public:
  void build(const BaselineHeader& header);

  // By the next kFastBits bits: bits 0-5 bits of both symbols, 6-11 bits of the first, 12-19 advance of both, 20-27
  // advance of the first. 0: a code longer than kFastBits.
  struct Table {
    uint32_t entry[1 << kFastBits];
  };
  const Table& of_slot(int slot) const { return table_[slot]; }

 private:
  Table table_[kTableSlots];
};

}  // namespace imgpack::jpeg
