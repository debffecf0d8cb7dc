#include "format/jpeg/huffman_tables.h"

#include <algorithm>
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
    if (code + count > 1 << bits) return false;  // More codes than there are bit patterns left.
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

void FastTable::build(const CodeTable& table) {
  code = &table;
  if (source == table.source) return;
  std::fill(std::begin(entry), std::end(entry), kSlowEntry);
  source = table.source;
  int pattern = 0, next = 0;
  for (int bits = 1; bits <= kFastBits; bits++, pattern <<= 1) {
    for (int i = 0; i < source.counts[bits - 1]; i++, pattern++, next++) {
      const uint32_t symbol = source.symbols[next];
      const int size = static_cast<int>(symbol & 15), spare = kFastBits - bits - size;
      if (spare < 0) continue;
      const uint32_t without_value = static_cast<uint32_t>(bits + size) | ac_advance(symbol) << 8;
      for (int raw = 0; raw < 1 << size; raw++) {
        // The code's value bits: the upper half stands for positive values, the lower for negative ones.
        const int value = size == 0 ? 0 : raw >= 1 << (size - 1) ? raw : raw + 1 - (1 << size);
        std::fill_n(&entry[((pattern << size) + raw) << spare], 1 << spare,
                    without_value | static_cast<uint32_t>(static_cast<uint16_t>(value)) << 16);
      }
    }
  }
}

}  // namespace imgpack::jpeg
