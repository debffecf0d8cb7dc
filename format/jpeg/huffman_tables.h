// Huffman tables in the two forms that the entropy decoder looks symbols up in.
//
//   DHT segment --CodeTable::build--> CodeTable (any code, symbol only) --FastTable::build--> FastTable (run, length
//                                                                                             and value at once)
// An "advance" is how far the coefficient pointer moves, in
// bytes (2 per coefficient, in zigzag order).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace imgpack::jpeg {

inline constexpr int kBlockCoefficients = 64;
inline constexpr int kMaxCodeBits = 16;
inline constexpr int kFastBits = 11;
inline constexpr int kCodeBits = 10;
inline constexpr int kMaxDcSize = 11;  // Bits of a DC difference and of an AC value in 8-bit baseline streams.
inline constexpr int kMaxAcSize = 10;

// Where the coefficient pointer lands after a symbol tells good blocks from bad by one comparison: at the block's end
// after its 64th coefficient, 34 to 158 bytes past it after an end-of-block code, 2 to 30 past it after a run that
// overshoots, and more than 380 past it after a code that does not exist.
inline constexpr uint32_t kEndOfBlockAdvance = 160;
inline constexpr uint32_t kEndOfBlockFirst = kEndOfBlockAdvance - 2 * (kBlockCoefficients - 1);
inline constexpr uint32_t kEndOfBlockLast = kEndOfBlockAdvance - 2;
inline constexpr uint32_t kInvalidCodeAdvance = 512;

enum class TableClass { kDc, kAc };

// Advance of an AC symbol (run in the high four bits, size of the value in the low four).
constexpr uint32_t ac_advance(uint32_t symbol) {
  const uint32_t run = symbol >> 4, size = symbol & 15;
  if (size != 0) return 2 * (run + 1);
  return run == 15 ? 32 : kEndOfBlockAdvance;
}

// A symbol without its value.
struct CodeEntry {
  // bits 0-5 code and value bits together, 8-11 value bits, 12-23 advance, 24-28 code bits.
  static constexpr uint32_t make(uint32_t symbol, uint32_t code_bits, TableClass table_class) {
    const uint32_t size = symbol & 15, advance = table_class == TableClass::kAc ? ac_advance(symbol) : 2;
    return (code_bits + size) | size << 8 | advance << 12 | code_bits << 24;
  }
  static constexpr uint32_t total_bits(uint32_t entry) { return entry & 63; }
  static constexpr uint32_t value_bits(uint32_t entry) { return entry >> 8 & 15; }
  static constexpr uint32_t advance(uint32_t entry) { return entry >> 12 & 4095; }
  static constexpr uint32_t code_bits(uint32_t entry) { return entry >> 24; }
};

// Counts and symbols as in the DHT segment, to recognise a table that is already built.
struct TableSource {
  uint8_t counts[kMaxCodeBits] = {};
  uint8_t symbols[256] = {};
  int symbol_count = -1;  // -1: nothing built.

  bool is(std::span<const uint8_t> other_counts, std::span<const uint8_t> other_symbols) const;
  bool operator==(const TableSource&) const = default;
};

struct CodeTable {
  uint32_t entry[1 << kCodeBits];  // CodeEntry by the next kCodeBits bits; 0: a longer code, or none.
  int32_t max_code[kMaxCodeBits + 1];
  int32_t symbol_offset[kMaxCodeBits + 1];
  TableSource source;

  // False: the counts describe no prefix code, or a symbol has a size that 8-bit baseline does not.
  bool build(std::span<const uint8_t> counts, std::span<const uint8_t> symbols, TableClass table_class);

  // A code longer than kCodeBits at the top of `window`; 0: there is no such code.
  uint32_t find_long(uint64_t window, TableClass table_class) const {
    for (int bits = kCodeBits + 1; bits <= kMaxCodeBits; bits++) {
      const int32_t code = static_cast<int32_t>(window >> (64 - bits));
      if (code > max_code[bits]) continue;
      return CodeEntry::make(source.symbols[(code + symbol_offset[bits]) & 255], static_cast<uint32_t>(bits),
                             table_class);
    }
    return 0;
  }
};

// In a FastTable: the symbol does not fit. Takes no bits, and moves past the end of any block, so that the check for
// that end finds it too.
inline constexpr uint32_t kSlowAdvance = 254;

// One symbol, or two where both fit, with their values. The decoder loads field by field, which costs less than taking
// one word to pieces.
struct FastEntry {
  uint8_t bits = 0;  // Of all; 0: the symbol does not fit.
  uint8_t first_advance = kSlowAdvance;
  uint8_t advance = kSlowAdvance;  // Of all.
  uint8_t first_bits = 0;
  uint16_t first_value = 0;
  uint16_t last_value = 0;  // That of the first where there is one only.
};
static_assert(sizeof(FastEntry) == sizeof(uint64_t));

struct FastTable {
  FastEntry
      entry[1 << kFastBits];  // By the next bits. First member: the decoder finds the table through a pointer to it.
  const CodeTable* code;
  TableSource source;

  void build(const CodeTable& table);
};

}  // namespace imgpack::jpeg
