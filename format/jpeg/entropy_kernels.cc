// A Huffman decoder waits: each symbol's length is known only after a table look-up, and the next symbol starts there.
// So several independent segments are decoded in turn, a few symbols at a time; the processor overlaps their waits.
#include "format/jpeg/entropy_kernels.h"

#include <algorithm>
#include <bit>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "format/jpeg/entropy_kernels.cc"
#include <hwy/foreach_target.h>  // Must come before highway.h.
#include <hwy/highway.h>

#ifndef IMGPACK_ENTROPY_KERNELS_ONCE
#define IMGPACK_ENTROPY_KERNELS_ONCE
namespace imgpack::jpeg {

inline constexpr size_t kBlockBytes = kBlockCoefficients * sizeof(int16_t);
inline constexpr int kSymbolsPerRefill = 5;  // Of at most kFastBits: 55 of the 56 bits that a refill leaves.
inline constexpr int kMaxWays = 4;

// Bits at the top of a 64-bit window. `valid` counts them in its low six bits; higher bits are noise.
struct BitWindow {
  uint64_t bits = 0;
  const uint8_t* next = nullptr;
  uint32_t valid = 0;

  void start(const uint8_t* bytes, int first_bit) {
    bits = 0;
    next = bytes;
    valid = 0;
    refill();
    drop(static_cast<uint32_t>(first_bit));
  }

  // At least 56 bits afterwards. Reads eight bytes at `next`.
  HWY_INLINE void refill() {
    uint64_t more;
    std::memcpy(&more, next, sizeof more);
    if constexpr (std::endian::native == std::endian::little) more = __builtin_bswap64(more);
    const uint32_t have = valid & 63;
    bits |= more >> have;
    next += (63 - have) >> 3;
    valid = have | 56;
  }

  HWY_INLINE void drop(uint32_t n) {
    bits <<= n & 63;
    valid -= n & 63;
  }

  // Bits between `bytes` and the top of the window.
  uint64_t position(const uint8_t* bytes) const { return static_cast<uint64_t>(next - bytes) * 8 - (valid & 63); }
};

// The value that follows the code of `entry` (CodeEntry) at the top of `window`.
HWY_INLINE int32_t value_after_code(uint64_t window, uint32_t entry) {
  const uint64_t value = window << CodeEntry::code_bits(entry);
  const uint32_t size = CodeEntry::value_bits(entry);
  const int64_t negative = ~static_cast<int64_t>(value) >> 63;  // A leading 0 bit: negative.
  return static_cast<int32_t>((value >> 1) >> (63 - size)) +
         static_cast<int32_t>(negative & (1 - (int64_t{1} << size)));
}

// One segment in progress.
struct Stream {
  BitWindow window;
  uint8_t* out = nullptr;  // Behind the last coefficient written.
  uint8_t* block_end = nullptr;
  const uint32_t* ac = nullptr;  // FastTable::entry of the block.
  const uint8_t* limit = nullptr;
  int block = 0;  // Within the MCU.
  int mcus = 0;   // Left, this one included.
  EntropySegment* segment = nullptr;
};

enum class Progress { kMore, kSegmentDone, kBad };

}  // namespace imgpack::jpeg
#endif  // IMGPACK_ENTROPY_KERNELS_ONCE

HWY_BEFORE_NAMESPACE();
namespace imgpack::jpeg {
namespace HWY_NAMESPACE {

// Zeroes the block and decodes its DC coefficient.
HWY_INLINE void begin_block(Stream& s, const BaselineHeader& header) {
  const McuBlock& block = header.block[s.block];
  std::memset(s.out, 0, kBlockBytes);
  s.block_end = s.out + kBlockBytes;
  s.ac = block.ac;
  s.window.refill();
  uint32_t entry = block.dc->entry[s.window.bits >> (64 - kCodeBits)];
  if (HWY_UNLIKELY(entry == 0)) {
    entry = block.dc->find_long(s.window.bits, TableClass::kDc);
    if (entry == 0) s.limit = nullptr;  // No such code: the check at the end of the block fails.
  }
  int16_t& dc = s.segment->dc[block.component];
  dc = static_cast<int16_t>(dc + value_after_code(s.window.bits, entry));
  std::memcpy(s.out, &dc, sizeof dc);
  s.out += sizeof dc;
  s.window.drop(CodeEntry::total_bits(entry));
}

// An AC symbol that the fast table does not hold.
HWY_NOINLINE void decode_slow_symbol(Stream& s) {
  const CodeTable& table = *reinterpret_cast<const FastTable*>(s.ac)->code;
  s.window.refill();
  uint32_t entry = table.entry[s.window.bits >> (64 - kCodeBits)];
  if (entry == 0) entry = table.find_long(s.window.bits, TableClass::kAc);
  if (entry == 0) {
    s.out += kInvalidCodeAdvance;
    return;
  }
  const int16_t value = static_cast<int16_t>(value_after_code(s.window.bits, entry));
  s.out += CodeEntry::advance(entry);
  std::memcpy(s.out - sizeof value, &value, sizeof value);
  s.window.drop(CodeEntry::total_bits(entry));
}

// Checks the block that ended and begins the next one.
HWY_INLINE Progress end_block(Stream& s, const BaselineHeader& header) {
  const uint32_t past = static_cast<uint32_t>(s.out - s.block_end);
  const bool ended_inside = past == 0 || past - kEndOfBlockFirst <= kEndOfBlockLast - kEndOfBlockFirst;
  if (HWY_UNLIKELY(!(ended_inside & (s.window.next <= s.limit)))) return Progress::kBad;
  s.out = s.block_end;
  if (++s.block == header.blocks_per_mcu) {
    s.block = 0;
    if (--s.mcus == 0) return Progress::kSegmentDone;
  }
  begin_block(s, header);
  return Progress::kMore;
}

// A few symbols of one stream, with its state in registers.
HWY_INLINE Progress advance_stream(Stream& s, const BaselineHeader& header) {
  BitWindow window = s.window;
  window.refill();
  uint8_t* out = s.out;
  uint8_t* const block_end = s.block_end;
  const uint32_t* const ac = s.ac;
  HWY_UNROLL(kSymbolsPerRefill)
  for (int i = 0; i < kSymbolsPerRefill; i++) {
    const uint32_t entry = ac[window.bits >> (64 - kFastBits)];
    out += static_cast<uint8_t>(entry >> 8);
    const uint16_t value = static_cast<uint16_t>(entry >> 16);
    std::memcpy(out - sizeof value, &value, sizeof value);
    window.bits <<= entry & 63;
    window.valid -= entry;  // Only its low six bits count.
    if (HWY_UNLIKELY(out >= block_end)) {
      s.window = window;
      s.out = out;
      if (entry == kSlowEntry) {
        s.out -= kSlowAdvance;
        decode_slow_symbol(s);
        if (s.out < block_end) return Progress::kMore;
      }
      return end_block(s, header);
    }
  }
  s.window = window;
  s.out = out;
  return Progress::kMore;
}

HWY_INLINE void start_stream(Stream& s, const BaselineHeader& header, EntropySegment& segment) {
  s.window.start(segment.bytes, segment.first_bit);
  s.out = reinterpret_cast<uint8_t*>(segment.coefficients);
  s.limit = segment.bytes + segment.size + sizeof(uint64_t);
  s.block = 0;
  s.mcus = segment.mcus;
  s.segment = &segment;
  begin_block(s, header);
}

bool decode_segments(const BaselineHeader& header, EntropySegment* segments, size_t count) {
  Stream streams[kMaxWays];
  size_t started = 0;
  int live = 0;
  while (live < kMaxWays && started < count) start_stream(streams[live++], header, segments[started++]);
  while (live > 0) {
    for (Stream* stream = streams; stream != streams + live; stream++) {
      Stream& s = *stream;
      const Progress progress = advance_stream(s, header);
      if (HWY_LIKELY(progress == Progress::kMore)) continue;
      if (progress == Progress::kBad) return false;
      const EntropySegment& segment = *s.segment;
      const uint64_t end_bit = s.window.position(segment.bytes);
      if (end_bit > segment.size * 8) return false;
      if (segment.expected_end_bit != 0 && end_bit != segment.expected_end_bit) return false;
      if (started < count) {
        start_stream(s, header, segments[started++]);
      } else {
        s = streams[--live];
        stream--;
      }
    }
  }
  return true;
}

Destuffed destuff_bytes(const uint8_t* src, size_t n, uint8_t* dst, std::vector<uint32_t>* removed) {
  uint8_t* out = dst;
  size_t i = 0;
  // Copies the byte at i and what its 0xFF means; false at a marker.
  const auto copy_byte = [&] {
    const uint8_t byte = src[i];
    if (byte == 0xff && i + 1 < n) {
      if (src[i + 1] != 0) return false;
      i++;
      if (removed != nullptr) removed->push_back(static_cast<uint32_t>(out + 1 - dst));
    }
    *out++ = byte;
    i++;
    return true;
  };
#if HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::ScalableTag<uint8_t> d;
  constexpr size_t kVectorBytes = hn::MaxLanes(hn::ScalableTag<uint8_t>());
  const auto ff = hn::Set(d, 0xff);
  while (i + kVectorBytes <= n) {
    const auto bytes = hn::LoadU(d, src + i);
    hn::StoreU(bytes, d, out);
    const intptr_t at = hn::FindFirstTrue(d, hn::Eq(bytes, ff));
    if (at < 0) {
      out += kVectorBytes;
      i += kVectorBytes;
      continue;
    }
    out += at;
    i += static_cast<size_t>(at);
    if (!copy_byte()) return {static_cast<size_t>(out - dst), i};
  }
#endif
  while (i < n) {
    if (!copy_byte()) break;
  }
  return {static_cast<size_t>(out - dst), i};
}

HWY_INLINE bool in_twelve_bits(int32_t dc) {
  return dc >= -2048 && dc <= 2047;
}

// Skips the AC coefficients of a block; false if it is bad.
HWY_INLINE bool skip_block(BitWindow& window, const uint32_t* skip, const CodeTable& table) {
  uint32_t at = sizeof(int16_t);  // Bytes from the block's begin, behind the DC coefficient.
  for (;;) {
    window.refill();
    // Two look-ups take at most 2 * (kFastBits + kMaxAcSize) bits.
    for (int i = 0; i < 2; i++) {
      uint32_t entry = skip[window.bits >> (64 - kFastBits)];
      if (HWY_UNLIKELY(entry == 0)) {
        const uint32_t code = table.find_long(window.bits, TableClass::kAc);
        if (code == 0) return false;
        entry = CodeEntry::total_bits(code) | CodeEntry::total_bits(code) << 6 | CodeEntry::advance(code) << 12 |
                CodeEntry::advance(code) << 20;
      }
      const uint32_t before = at;
      at += entry >> 12 & 255;
      if (HWY_UNLIKELY(at >= kBlockBytes)) {
        const uint32_t after_first = before + (entry >> 20);
        if (after_first >= kBlockBytes) {  // The first symbol ended the block; the second belongs to the next one.
          at = after_first;
          window.drop(entry >> 6);
        } else {
          window.drop(entry);
        }
        const uint32_t past = at - static_cast<uint32_t>(kBlockBytes);
        return past == 0 || past - kEndOfBlockFirst <= kEndOfBlockLast - kEndOfBlockFirst;
      }
      window.bits <<= entry & 63;
      window.valid -= entry & 63;
    }
  }
}

bool walk(const BaselineHeader& header, const SkipTables& tables, const uint8_t* bytes, size_t size, int64_t first_mcu,
          int64_t mcus, int every, WalkState& state, std::vector<WalkState>& entries) {
  const uint8_t* const limit = bytes + size + sizeof(uint64_t);
  BitWindow window;
  window.start(bytes + state.bit / 8, static_cast<int>(state.bit % 8));
  int column = static_cast<int>(first_mcu % header.mcus_per_row);
  int until_entry = column % every == 0 ? 0 : every - column % every;
  for (int64_t m = 0; m < mcus; m++) {
    if (until_entry == 0) {
      state.bit = window.position(bytes);
      entries.push_back(state);
      until_entry = every;
    }
    until_entry--;
    if (++column == header.mcus_per_row) column = until_entry = 0;
    for (int b = 0; b < header.blocks_per_mcu; b++) {
      const McuBlock& block = header.block[b];
      window.refill();
      uint32_t entry = block.dc->entry[window.bits >> (64 - kCodeBits)];
      if (HWY_UNLIKELY(entry == 0)) {
        entry = block.dc->find_long(window.bits, TableClass::kDc);
        if (entry == 0) return false;
      }
      const int32_t dc = state.dc[block.component] + value_after_code(window.bits, entry);
      if (!in_twelve_bits(dc)) return false;
      state.dc[block.component] = static_cast<int16_t>(dc);
      window.drop(CodeEntry::total_bits(entry));
      const int slot = header.component[block.component].ac;
      if (!skip_block(window, tables.of_slot(slot).entry, header.ac_table[slot])) return false;
      if (window.next > limit) return false;
    }
  }
  state.bit = window.position(bytes);
  return state.bit <= size * 8;
}

}  // namespace HWY_NAMESPACE
}  // namespace imgpack::jpeg
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace imgpack::jpeg {
namespace {

HWY_EXPORT(decode_segments);
HWY_EXPORT(destuff_bytes);
HWY_EXPORT(walk);

// The symbol at the top of kFastBits bits of which `known` are there, as a CodeEntry; 0 if its code does not fit.
uint32_t symbol_at(const CodeTable& table, uint32_t bits, int known) {
  const uint32_t entry = table.entry[bits >> (kFastBits - kCodeBits)];
  if (entry != 0) return static_cast<int>(CodeEntry::code_bits(entry)) <= known ? entry : 0;
  if (known < kFastBits) return 0;
  const int32_t code = static_cast<int32_t>(bits);
  if (code > table.max_code[kFastBits]) return 0;
  return CodeEntry::make(table.source.symbols[(code + table.symbol_offset[kFastBits]) & 255], kFastBits,
                         TableClass::kAc);
}

uint32_t skip_entry(const CodeTable& table, uint32_t bits) {
  const uint32_t first = symbol_at(table, bits, kFastBits);
  if (first == 0) return 0;
  const uint32_t first_bits = CodeEntry::total_bits(first), first_advance = CodeEntry::advance(first);
  uint32_t all_bits = first_bits, all_advance = first_advance;
  const int left = kFastBits - static_cast<int>(first_bits);
  if (left > 0 && first_advance != kEndOfBlockAdvance) {
    const uint32_t second = symbol_at(table, bits << first_bits & ((1u << kFastBits) - 1), left);
    all_bits += CodeEntry::total_bits(second);
    all_advance += CodeEntry::advance(second);
  }
  return all_bits | first_bits << 6 | all_advance << 12 | first_advance << 20;
}

}  // namespace

Destuffed destuff(const uint8_t* src, size_t n, uint8_t* dst, std::vector<uint32_t>* removed) {
  return HWY_DYNAMIC_DISPATCH(destuff_bytes)(src, n, dst, removed);
}

bool decode_segments(const BaselineHeader& header, EntropySegment* segments, size_t count) {
  return HWY_DYNAMIC_DISPATCH(decode_segments)(header, segments, count);
}

bool walk_segment(const BaselineHeader& header, const SkipTables& tables, const uint8_t* bytes, size_t size,
                  int64_t first_mcu, int64_t mcus, int every, WalkState& state, std::vector<WalkState>& entries) {
  return HWY_DYNAMIC_DISPATCH(walk)(header, tables, bytes, size, first_mcu, mcus, every, state, entries);
}

void SkipTables::build(const BaselineHeader& header) {
  uint32_t built = 0;
  for (int c = 0; c < header.components; c++) {
    const int slot = header.component[c].ac;
    if (built >> slot & 1) continue;
    built |= 1u << slot;
    for (uint32_t bits = 0; bits < 1u << kFastBits; bits++)
      table_[slot].entry[bits] = skip_entry(header.ac_table[slot], bits);
  }
}

}  // namespace imgpack::jpeg
#endif  // HWY_ONCE
