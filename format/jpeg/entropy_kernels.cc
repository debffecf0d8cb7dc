// A Huffman decoder waits: each symbol's length is known only after a table look-up, and the next symbol starts there.
// So several independent segments are decoded in turn, a look-up of each (one symbol or two); the processor overlaps
// their waits.
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
inline constexpr int kMaxWays = 4;

// 63 bits of the stream at the top of a word, a mark behind them and then zeros: how many were dropped since they were
// loaded, the mark tells.
struct BitWindow {
  uint64_t bits = 0;
  const uint8_t* next = nullptr;  // Where they were loaded.

  void start(const uint8_t* bytes, int first_bit) {
    next = bytes;
    load(static_cast<uint32_t>(first_bit));
  }

  // At least 56 bits afterwards. Reads eight bytes, of which the first has the next bit.
  HWY_INLINE void refill() {
    const uint32_t used = dropped();
    next += used >> 3;
    load(used & 7);
  }

  HWY_INLINE void drop(uint32_t n) { bits <<= n & 63; }

  // Bits between `bytes` and the top of the window.
  uint64_t position(const uint8_t* bytes) const { return static_cast<uint64_t>(next - bytes) * 8 + dropped(); }

 private:
  HWY_INLINE uint32_t dropped() const { return static_cast<uint32_t>(std::countr_zero(bits)); }
  HWY_INLINE void load(uint32_t drop) {
    uint64_t more;
    std::memcpy(&more, next, sizeof more);
    bits = (__builtin_bswap64(more) | 1) << drop;
  }
};

// The value that follows the code of `entry` (CodeEntry) at the top of `window`.
HWY_INLINE int32_t value_after_code(uint64_t window, uint32_t entry) {
  const uint64_t value = window << CodeEntry::code_bits(entry);
  const uint32_t size = CodeEntry::value_bits(entry);
  const int64_t negative = ~static_cast<int64_t>(value) >> 63;  // A leading 0 bit: negative.
  return static_cast<int32_t>((value >> 1) >> (63 - size)) +
         static_cast<int32_t>(negative & (1 - (int64_t{1} << size)));
}

// The part of a segment in progress that every symbol changes: meant for registers.
struct HotStream {
  BitWindow window;
  uint8_t* out = nullptr;  // Behind the last coefficient written.
  uint8_t* block_end = nullptr;
  const FastEntry* ac = nullptr;  // FastTable::entry of the block.
};

// The part that changes from block to block.
struct Stream {
  const uint8_t* limit = nullptr;
  int block = 0;  // Within the MCU.
  int mcus = 0;   // Left, this one included.
  EntropySegment* segment = nullptr;
};

enum class Progress { kMore, kSegmentDone, kBad };

// Segments that nobody has begun yet.
struct SegmentQueue {
  std::span<EntropySegment* const> rest;
  bool empty() const { return rest.empty(); }
  EntropySegment& take() {
    EntropySegment* const first = rest.front();
    rest = rest.subspan(1);
    return *first;
  }
};

}  // namespace imgpack::jpeg
#endif  // IMGPACK_ENTROPY_KERNELS_ONCE

HWY_BEFORE_NAMESPACE();
namespace imgpack::jpeg {
namespace HWY_NAMESPACE {

HWY_INLINE void store_coefficient(uint8_t* behind, uint16_t value) {
  std::memcpy(behind - sizeof value, &value, sizeof value);
}

// Zeroes the block and decodes its DC coefficient.
HWY_INLINE void begin_block(HotStream& h, Stream& s, const BaselineHeader& header) {
  const McuBlock& block = header.block[s.block];
  std::memset(h.out, 0, kBlockBytes);
  h.block_end = h.out + kBlockBytes;
  h.ac = block.ac;
  h.window.refill();
  uint32_t entry = block.dc->entry[h.window.bits >> (64 - kCodeBits)];
  if (HWY_UNLIKELY(entry == 0)) {
    entry = block.dc->find_long(h.window.bits, TableClass::kDc);
    if (entry == 0) s.limit = nullptr;  // No such code: the check at the end of the block fails.
  }
  int16_t& dc = s.segment->dc[block.component];
  dc = static_cast<int16_t>(dc + value_after_code(h.window.bits, entry));
  h.out += sizeof dc;
  store_coefficient(h.out, static_cast<uint16_t>(dc));
  h.window.drop(CodeEntry::total_bits(entry));
}

// An AC symbol that the fast table does not hold.
HWY_INLINE void decode_slow_symbol(HotStream& h) {
  const CodeTable& table = *reinterpret_cast<const FastTable*>(h.ac)->code;
  h.window.refill();
  uint32_t entry = table.entry[h.window.bits >> (64 - kCodeBits)];
  if (HWY_UNLIKELY(entry == 0)) {
    entry = table.find_long(h.window.bits, TableClass::kAc);
    if (entry == 0) {
      h.out += kInvalidCodeAdvance;
      return;
    }
  }
  h.out += CodeEntry::advance(entry);
  store_coefficient(h.out, static_cast<uint16_t>(value_after_code(h.window.bits, entry)));
  h.window.drop(CodeEntry::total_bits(entry));
}

// Checks the block that ended and begins the next one.
HWY_INLINE Progress end_block(HotStream& h, Stream& s, const BaselineHeader& header) {
  const uint32_t past = static_cast<uint32_t>(h.out - h.block_end);
  const bool ended_inside = past == 0 || past - kEndOfBlockFirst <= kEndOfBlockLast - kEndOfBlockFirst;
  if (HWY_UNLIKELY(!(ended_inside & (h.window.next <= s.limit)))) return Progress::kBad;
  h.out = h.block_end;
  if (++s.block == header.blocks_per_mcu) {
    s.block = 0;
    if (--s.mcus == 0) return Progress::kSegmentDone;
  }
  begin_block(h, s, header);
  return Progress::kMore;
}

// One look-up of one stream: a symbol, or two.
HWY_INLINE Progress advance_stream(HotStream& h, Stream& s, const BaselineHeader& header) {
  const uint64_t bits = h.window.bits;
  const FastEntry* const entry = h.ac + (bits >> (64 - kFastBits));
  uint8_t* const begin = h.out;
  uint8_t* const first = begin + entry->first_advance;
  store_coefficient(first, entry->first_value);
  h.out = begin + entry->advance;
  store_coefficient(h.out, entry->last_value);
  h.window.drop(entry->bits);
  if (HWY_LIKELY(h.out < h.block_end)) return Progress::kMore;
  if (HWY_UNLIKELY(entry->bits == 0)) {
    h.out = begin;
    decode_slow_symbol(h);
    if (HWY_LIKELY(h.out < h.block_end)) return Progress::kMore;
  } else {
    // Where the first symbol ended the block, the second is not its own.
    const bool ended_by_first = first >= h.block_end;
    const uint32_t taken = ended_by_first ? entry->first_bits : entry->bits;
    h.out = ended_by_first ? first : h.out;
    h.window.bits = bits << (taken & 63);
  }
  return end_block(h, s, header);
}

HWY_INLINE void start_stream(HotStream& h, Stream& s, const BaselineHeader& header, EntropySegment& segment) {
  h.window.start(segment.bytes, segment.first_bit);
  h.out = reinterpret_cast<uint8_t*>(segment.coefficients);
  s.limit = segment.bytes + segment.size;
  s.block = 0;
  s.mcus = segment.mcus;
  s.segment = &segment;
  begin_block(h, s, header);
}

// What follows the end of a segment: another one, or nothing (then `finished`), or bad news.
enum class Next { kBegun, kFinished, kBad };

HWY_NOINLINE Next next_segment(HotStream& h, Stream& s, const BaselineHeader& header, SegmentQueue& queue) {
  const EntropySegment& segment = *s.segment;
  const uint64_t end_bit = h.window.position(segment.bytes);
  if (end_bit > segment.size * 8) return Next::kBad;
  if (segment.expected_end_bit != 0 && end_bit != segment.expected_end_bit) return Next::kBad;
  if (queue.empty()) return Next::kFinished;
  start_stream(h, s, header, queue.take());
  return Next::kBegun;
}

// What the streams of one interleaved run share.
struct Run {
  const BaselineHeader& header;
  Stream* streams;
  SegmentQueue& queue;
  int finished = -1;  // The stream that found no more segments.
  Next next = Next::kBegun;
};

// One look-up of stream `way`. False: the run is over.
HWY_INLINE bool advance(Run& run, HotStream& h, int way) {
  const Progress progress = advance_stream(h, run.streams[way], run.header);
  if (HWY_LIKELY(progress == Progress::kMore)) return true;
  // A copy: what a call can reach does not stay in registers.
  HotStream ended = h;
  run.next = progress == Progress::kBad ? Next::kBad : next_segment(ended, run.streams[way], run.header, run.queue);
  h = ended;
  run.finished = way;
  return run.next == Next::kBegun;
}

template <int kWays>
HWY_INLINE bool advance_all(Run& run, HotStream& h0, HotStream& h1, HotStream& h2, HotStream& h3) {
  return advance(run, h0, 0) && (kWays < 2 || advance(run, h1, 1)) && (kWays < 3 || advance(run, h2, 2)) &&
         (kWays < 4 || advance(run, h3, 3));
}

// Decodes with kWays streams until one of them finds no more segments; the last one then takes its place. False: bad.
// Each stream is a variable of its own, so that what every symbol changes stays in registers.
template <int kWays>
bool decode_interleaved(const BaselineHeader& header, HotStream* hot, Stream* streams, SegmentQueue& queue) {
  static_assert(kWays >= 1 && kWays <= kMaxWays && kMaxWays == 4);
  HotStream h0 = hot[0], h1 = hot[1 % kWays], h2 = hot[2 % kWays], h3 = hot[3 % kWays];
  Run run{header, streams, queue};
  do {
    h0.window.refill();
    if constexpr (kWays > 1) h1.window.refill();
    if constexpr (kWays > 2) h2.window.refill();
    if constexpr (kWays > 3) h3.window.refill();
    // Three look-ups take 33 of the 56 bits; a stream that begins a block or meets a long symbol refills by itself.
  } while (advance_all<kWays>(run, h0, h1, h2, h3) && advance_all<kWays>(run, h0, h1, h2, h3) &&
           advance_all<kWays>(run, h0, h1, h2, h3));
  if (run.next == Next::kBad) return false;
  hot[0] = h0;
  if constexpr (kWays > 1) hot[1] = h1;
  if constexpr (kWays > 2) hot[2] = h2;
  if constexpr (kWays > 3) hot[3] = h3;
  hot[run.finished] = hot[kWays - 1];
  streams[run.finished] = streams[kWays - 1];
  return true;
}

bool decode_segments(const BaselineHeader& header, std::span<EntropySegment* const> segments) {
  HotStream hot[kMaxWays];
  Stream streams[kMaxWays];
  SegmentQueue queue{segments};
  int live = 0;
  for (; live < kMaxWays && !queue.empty(); live++) start_stream(hot[live], streams[live], header, queue.take());
  for (; live > 0; live--) {
    const bool good = live == 4   ? decode_interleaved<4>(header, hot, streams, queue)
                      : live == 3 ? decode_interleaved<3>(header, hot, streams, queue)
                      : live == 2 ? decode_interleaved<2>(header, hot, streams, queue)
                                  : decode_interleaved<1>(header, hot, streams, queue);
    if (!good) return false;
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
      window.drop(entry);
    }
  }
}

bool walk(const BaselineHeader& header, const SkipTables& tables, const uint8_t* bytes, size_t size, int64_t first_mcu,
          int64_t mcus, int every, WalkState& state, std::vector<WalkState>& entries) {
  const uint8_t* const limit = bytes + size;
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

bool decode_segments(const BaselineHeader& header, std::span<EntropySegment* const> segments) {
  return HWY_DYNAMIC_DISPATCH(decode_segments)(header, segments);
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
