#include "format/jpeg/huffman_tables.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace imgpack::jpeg {

bool TableSource::is(std::span<const uint8_t> other_counts, std::span<const uint8_t> other_symbols) const {
  return symbol_count == static_cast<int>(other_symbols.size()) &&
         std::equal(other_counts.begin(), other_counts.end(), counts) &&
         std::equal(other_symbols.begin(), other_symbols.end(), symbols);
}

bool CodeTable::build(std::span<const uint8_t> counts, std::span<const uint8_t> symbols, TableClass table_class) {
  if (source.is(counts, symbols)) return true;
  source.symbol_count = -1;
  for (uint8_t symbol : symbols) {
    if (table_class == TableClass::kAc ? (symbol & 15) > kMaxAcSize : symbol > kMaxDcSize) return false;
  }
  std::memset(entry, 0, sizeof entry);
  int32_t code = 0;
  size_t next = 0;
  for (int bits = 1; bits <= kMaxCodeBits; bits++) {
    const int32_t count = counts[static_cast<size_t>(bits - 1)];
    // More codes than bit patterns are left; and none may be all ones, which libjpeg refuses, too.
    if (code + count >= 1 << bits) return false;
    symbol_offset[bits] = static_cast<int32_t>(next) - code;
    max_code[bits] = count > 0 ? code + count - 1 : -1;
    for (int32_t i = 0; i < count; i++, code++, next++) {
      if (bits > kCodeBits) continue;
      std::fill_n(&entry[code << (kCodeBits - bits)], 1 << (kCodeBits - bits),
                  CodeEntry::make(symbols[next], static_cast<uint32_t>(bits), table_class));
    }
    code <<= 1;
  }
  std::copy(counts.begin(), counts.end(), source.counts);
  std::fill(std::copy(symbols.begin(), symbols.end(), source.symbols), std::end(source.symbols), uint8_t{0});
  source.symbol_count = static_cast<int>(symbols.size());
  return true;
}

namespace {

constexpr int kFastEntries = 1 << kFastBits;

// A FastEntry as one word, so that building copies and adds all of its fields at once.
struct Packed {
  static constexpr uint64_t bits(uint64_t n) { return n; }
  static constexpr uint64_t first_advance(uint64_t n) { return n << 8; }
  static constexpr uint64_t advance(uint64_t n) { return n << 16; }
  static constexpr uint64_t first_bits(uint64_t n) { return n << 24; }
  static constexpr uint64_t first_value(uint64_t n) { return n << 32; }
  static constexpr uint64_t last_value(uint64_t n) { return n << 48; }
};
static_assert(std::endian::native == std::endian::little);

// Calls found(first, spare, bits, advance, value) for each symbol and value that fit: entries first to
// first + 2^spare - 1 begin with their bits.
template <class Found>
void for_each_symbol(const TableSource& source, Found&& found) {
  int pattern = 0, next = 0;
  for (int bits = 1; bits <= kFastBits; bits++, pattern <<= 1) {
    for (int i = 0; i < source.counts[bits - 1]; i++, pattern++, next++) {
      const uint32_t symbol = source.symbols[next];
      const int size = static_cast<int>(symbol & 15), spare = kFastBits - bits - size;
      if (spare < 0) continue;
      for (int raw = 0; raw < 1 << size; raw++) {
        // The code's value bits: the upper half stands for positive values, the lower for negative ones.
        const int value = size == 0 ? 0 : raw >= 1 << (size - 1) ? raw : raw + 1 - (1 << size);
        found(((pattern << size) + raw) << spare, spare, static_cast<uint64_t>(bits) + static_cast<uint64_t>(size),
              uint64_t{ac_advance(symbol)}, uint64_t{static_cast<uint16_t>(value)});
      }
    }
  }
}

// What a second symbol adds to an entry whose first one leaves `spare` bits, by these bits; 0: none fits.
class SecondSymbols {
 public:
  explicit SecondSymbols(const TableSource& source) {
    std::fill(std::begin(whole_), std::end(whole_), uint64_t{0});
    for_each_symbol(source, [&](int first, int spare, uint64_t bits, uint64_t advance, uint64_t value) {
      std::fill_n(&whole_[first], 1 << spare,
                  Packed::bits(bits) | Packed::advance(advance) | Packed::last_value(value));
    });
  }

  const uint64_t* with_spare(int spare) {
    uint64_t* const list = &lists_[1 << spare];
    if ((made_ >> spare & 1) == 0) {
      made_ |= 1u << spare;
      for (int i = 0; i < 1 << spare; i++) {
        const uint64_t second = whole_[i << (kFastBits - spare)];
        list[i] = (second & 63) <= static_cast<uint64_t>(spare) ? second : 0;
      }
    }
    return list;
  }

 private:
  uint64_t whole_[kFastEntries];
  uint64_t lists_[kFastEntries];  // That of `spare` begins at 2^spare.
  uint32_t made_ = 0;
};

}  // namespace

void FastTable::build(const CodeTable& table) {
  code = &table;
  if (source == table.source) return;
  source = table.source;
  std::fill(std::begin(entry), std::end(entry), FastEntry());
  SecondSymbols seconds(source);
  for_each_symbol(source, [&](int first, int spare, uint64_t bits, uint64_t advance, uint64_t value) {
    const uint64_t one = Packed::bits(bits) | Packed::first_advance(advance) | Packed::advance(advance) |
                         Packed::first_bits(bits) | Packed::first_value(value);
    const uint64_t last = Packed::last_value(value);
    if (spare == 0 || advance == kEndOfBlockAdvance) {  // Nothing follows the end of a block.
      std::fill_n(&entry[first], 1 << spare, std::bit_cast<FastEntry>(one | last));
      return;
    }
    const uint64_t* const second = seconds.with_spare(spare);
    for (int i = 0; i < 1 << spare; i++)
      entry[first + i] = std::bit_cast<FastEntry>(one + (second[i] != 0 ? second[i] : last));
  });
}

}  // namespace imgpack::jpeg
