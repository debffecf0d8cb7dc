#include "format/jpeg/baseline_header.h"

#include <cstring>

#include "format/jpeg/limits.h"
#include "format/jpeg/marker_walk.h"
#include "format/jpeg/zigzag.h"

namespace imgpack::jpeg {
namespace {

using Payload = std::span<const uint8_t>;

// The fast decoder multiplies in 16 bits.
constexpr uint32_t kMaxQuant = 32'767;

// An end-of-block code and a DC code take at least a bit each.
constexpr uint64_t kMaxBlocksPerByte = 4;

struct Parser {
  BaselineHeader& h;
  bool has_frame = false, jfif = false;
  int adobe_transform = -1;
  uint32_t quant_defined = 0, dc_defined = 0, ac_defined = 0;  // Bit per slot.

  bool quant_tables(Payload p) {
    while (!p.empty()) {
      const size_t wide = p[0] >> 4, slot = p[0] & 15, bytes = 1 + kBlockCoefficients * (1 + wide);
      if (wide > 1 || slot >= kTableSlots || p.size() < bytes) return false;
      for (size_t k = 0; k < kBlockCoefficients; k++) {
        const uint32_t q = wide != 0 ? read_u16(&p[1 + 2 * k]) : p[1 + k];
        if (q == 0 || q > kMaxQuant) return false;
        h.quant[slot][kNaturalOrder[k]] = static_cast<uint16_t>(q);
      }
      quant_defined |= 1u << slot;
      p = p.subspan(bytes);
    }
    return true;
  }

  bool huffman_tables(Payload p) {
    while (!p.empty()) {
      const size_t table_class = p[0] >> 4, slot = p[0] & 15;
      if (table_class > 1 || slot >= kTableSlots || p.size() < 1 + kMaxCodeBits) return false;
      const Payload counts = p.subspan(1, kMaxCodeBits);
      size_t symbols = 0;
      for (uint8_t count : counts) symbols += count;
      if (symbols > 256 || p.size() < 1 + kMaxCodeBits + symbols) return false;
      const Payload values = p.subspan(1 + kMaxCodeBits, symbols);
      const bool ac = table_class == 1;
      CodeTable& table = ac ? h.ac_table[slot] : h.dc_table[slot];
      if (!table.build(counts, values, ac ? TableClass::kAc : TableClass::kDc)) return false;
      (ac ? ac_defined : dc_defined) |= 1u << slot;
      p = p.subspan(1 + kMaxCodeBits + symbols);
    }
    return true;
  }

  bool frame(Payload p) {
    if (has_frame || p.size() < 6 || p[0] != 8) return false;
    h.height = read_u16(&p[1]);
    h.width = read_u16(&p[3]);
    h.components = p[5];
    if (h.width == 0 || h.height == 0 || (h.components != 1 && h.components != 3)) return false;
    if (p.size() != 6 + 3 * static_cast<size_t>(h.components)) return false;
    for (int c = 0; c < h.components; c++) {
      const uint8_t* q = &p[6 + 3 * static_cast<size_t>(c)];
      h.component[c] = {q[0], q[1] >> 4, q[1] & 15, q[2], 0, 0};
      if (q[2] >= kTableSlots) return false;
      // Of one component they mean nothing, and all the same no other decoder takes one outside the standard's range.
      if (h.component[c].h < 1 || h.component[c].h > 4 || h.component[c].v < 1 || h.component[c].v > 4) return false;
    }
    if (h.components == 1) h.component[0].h = h.component[0].v = 1;  // A scan of one component has no MCUs of several.
    has_frame = true;
    return true;
  }

  bool restart(Payload p) {
    if (p.size() != 2) return false;
    h.restart_interval = static_cast<int>(read_u16(p.data()));
    return true;
  }

  void application(uint8_t marker, Payload p) {
    if (marker == kApp0 && p.size() >= 12 && std::memcmp(p.data(), "JFIF", 5) == 0) jfif = true;
    if (marker == kApp14 && p.size() >= 12 && std::memcmp(p.data(), "Adobe", 5) == 0) adobe_transform = p[11];
  }

  bool scan(Payload p) {
    const size_t n = static_cast<size_t>(h.components);
    if (!has_frame || p.size() != 4 + 2 * n || p[0] != n) return false;
    for (size_t c = 0; c < n; c++) {
      FrameComponent& k = h.component[c];
      k.dc = p[2 + 2 * c] >> 4;
      k.ac = p[2 + 2 * c] & 15;
      if (p[1 + 2 * c] != k.id || k.dc >= kTableSlots || k.ac >= kTableSlots) return false;
      if (!(dc_defined >> k.dc & 1) || !(ac_defined >> k.ac & 1) || !(quant_defined >> k.quant & 1)) return false;
    }
    const uint8_t* spectral = &p[1 + 2 * n];
    return spectral[0] == 0 && spectral[1] == 63 && spectral[2] == 0;
  }

  // Three components without a colour transform hold RGB, which the fast decoder leaves to the reference.
  bool is_ycbcr() const {
    if (h.components == 1 || jfif) return true;
    if (adobe_transform >= 0) return adobe_transform != 0;
    return !(h.component[0].id == 'R' && h.component[1].id == 'G' && h.component[2].id == 'B');
  }

  bool lay_out() {
    const FrameComponent* k = h.component;
    h.max_h = k[0].h;
    h.max_v = k[0].v;
    if (h.max_h < 1 || h.max_h > 2 || h.max_v < 1 || h.max_v > 2) return false;
    if (h.components == 3 && (k[1].h != 1 || k[1].v != 1 || k[2].h != 1 || k[2].v != 1)) return false;
    const uint32_t mcu_width = static_cast<uint32_t>(kBlockSide * h.max_h),
                   mcu_height = static_cast<uint32_t>(kBlockSide * h.max_v);
    h.mcus_per_row = static_cast<int>((h.width + mcu_width - 1) / mcu_width);
    h.mcu_rows = static_cast<int>((h.height + mcu_height - 1) / mcu_height);
    h.blocks_per_mcu = 0;
    for (int c = 0; c < h.components; c++) {
      h.fast_table[k[c].ac].build(h.ac_table[k[c].ac]);
      for (int i = 0; i < k[c].h * k[c].v; i++) {
        h.block[h.blocks_per_mcu++] = {h.fast_table[k[c].ac].entry, &h.dc_table[k[c].dc], c, i / k[c].h};
      }
    }
    return true;
  }
};

}  // namespace

Coverage parse_baseline_header(std::span<const std::byte> jpeg, BaselineHeader& header) {
  header.components = 0;
  header.restart_interval = 0;
  Parser parser{header};
  MarkerWalk walk(jpeg);
  // No fill bytes before it, as the probe and libjpeg have it.
  if (walk.next() != MarkerWalk::Step::kSegment || walk.segment().marker != kSoi || walk.segment().end != 2)
    return Coverage::kNotCovered;
  while (walk.next() == MarkerWalk::Step::kSegment) {
    const Segment& segment = walk.segment();
    const uint8_t marker = segment.marker;
    bool good = true;
    if (marker == kDqt) {
      good = parser.quant_tables(segment.payload);
    } else if (marker == kDht) {
      good = parser.huffman_tables(segment.payload);
    } else if (marker == kSof0 || marker == kSof1) {
      good = parser.frame(segment.payload);
    } else if (marker == kDri) {
      good = parser.restart(segment.payload);
    } else if (marker >= kApp0 && marker <= kApp15) {
      parser.application(marker, segment.payload);
    } else if (marker == kSos) {
      if (!parser.scan(segment.payload) || !parser.is_ycbcr() || !parser.lay_out()) return Coverage::kNotCovered;
      header.scan_begin = segment.end;
      const uint64_t blocks = uint64_t{static_cast<uint32_t>(header.mcus_per_row)} *
                              static_cast<uint32_t>(header.mcu_rows) * static_cast<uint32_t>(header.blocks_per_mcu);
      const bool plausible = blocks <= (jpeg.size() - segment.end) * kMaxBlocksPerByte &&
                             uint64_t{header.width} * header.height <= kMaxPixels;
      return plausible ? Coverage::kCovered : Coverage::kNotCovered;
    } else {
      good = marker == kCom;
    }
    if (!good) return Coverage::kNotCovered;
  }
  return Coverage::kNotCovered;
}

}  // namespace imgpack::jpeg
