// Entry points into a JPEG's Huffman stream, so that a crop can be decoded without decoding what lies before it. The
// JPEG's bytes stay as they are; the index is a section of the record (SectionType::kEntropyIndex).
//
//   MCU row 0   |E....|E....|E..      E: position of the MCU's first bit and the DC predictors there
//   MCU row 1   |E....|E....|E..      every `mcus_per_entry` MCUs, counted anew in each row
//
// Layout, little-endian (persisted; docs/shard-format.md describes it):
//   0  u8   format, 1
//   1  u8   reserved, 0
//   2  u16  mcus_per_entry, 1 or more
//   4  u32  offset in the JPEG of its first entropy-coded byte
//   8  u32  entropy-coded bytes, up to the marker that ends the scan
//  12  u32  entries: MCU rows * ceil(MCUs per row / mcus_per_entry)
//  16  u64  per entry: bits 0-27 position in bits from the first entropy-coded byte, stuffed bytes counted (never in a
//           stuffed byte; behind a restart marker where one precedes the MCU); bits 28-39, 40-51, 52-63 the DC
//           predictors of the components, two's complement
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "format/jpeg/baseline_header.h"

namespace imgpack::jpeg {

inline constexpr uint8_t kEntropyIndexFormat = 1;
inline constexpr size_t kEntropyIndexHeaderBytes = 16;
inline constexpr size_t kEntropyEntryBytes = 8;
inline constexpr uint64_t kMaxIndexedScanBytes = (uint64_t{1} << 28) / 8;  // 32 MiB: what a position can name.
inline constexpr int kOneEntryPerRow = 0;

struct EntropyEntry {
  uint32_t byte = 0;  // From the first entropy-coded byte.
  int bit = 0;        // 0 (highest) to 7.
  int16_t dc[kMaxComponents] = {};
};

// A parsed index; points into the bytes it was parsed from.
class EntropyIndexView {
 public:
  // nullopt: not of this format, or not of a JPEG with this header and size. Single entries are checked when used.
  static std::optional<EntropyIndexView> parse(std::span<const std::byte> bytes, const BaselineHeader& header,
                                               size_t jpeg_bytes);

  int mcus_per_entry() const { return mcus_per_entry_; }
  int entries_per_row() const { return entries_per_row_; }
  uint32_t scan_bytes() const { return scan_bytes_; }
  size_t entries() const { return entries_.size() / kEntropyEntryBytes; }
  EntropyEntry entry(size_t i) const;  // REQUIRES i < entries().

 private:
  std::span<const std::byte> entries_;
  int mcus_per_entry_ = 0, entries_per_row_ = 0;
  uint32_t scan_bytes_ = 0;
};

// Walks the whole Huffman stream once, which also proves that every block of it is there and well-formed; then decodes
// every fourth MCU row from each of its entries, which proves the index. Reused from image to image; not thread-safe. A
// new one takes over the memory of one that ended on the same thread.
class EntropyIndexBuilder {
 public:
  EntropyIndexBuilder();
  ~EntropyIndexBuilder();

  // `mcus_per_entry`: 1 or more, or kOneEntryPerRow. nullopt: the stream is damaged, or of a kind that the fast decoder
  // does not cover; a decode by the reference decoder tells which.
  std::optional<std::vector<std::byte>> build(std::span<const std::byte> jpeg, int mcus_per_entry);

 private:
  struct Scratch;
  std::unique_ptr<Scratch> scratch_;
};

}  // namespace imgpack::jpeg
