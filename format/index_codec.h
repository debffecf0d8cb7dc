// Columns <-> frames, the part that a shard's index block and the dataset index have in common.
//
//   IndexColumns --encode_frames--> [ids: raw][plan: zstd of byte planes][names: zstd of name_codec]
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "format/layout.h"
#include "format/shard_index.h"

namespace imgpack {

// One row of a frame table.
struct FrameEntry {
  uint16_t group = 0;
  uint16_t codec = 0;
  uint16_t flags = 0;
  uint16_t split = 0;
  uint64_t stored_bytes = 0;
  uint64_t raw_bytes = 0;
  uint64_t checksum = 0;
};

struct Frame {
  FrameEntry entry;
  std::vector<std::byte> bytes;
};

Frame encode_ids(std::span<const IndexColumns* const> parts, uint16_t split);
Frame encode_plan(std::span<const IndexColumns* const> parts, uint16_t split);
Frame encode_name_frame(std::span<const IndexColumns* const> parts, uint16_t split);

void store_frame_entry(std::span<std::byte> out, const FrameEntry& entry);
FrameEntry load_frame_entry(std::span<const std::byte> in);

// Reads frames one by one into columns. `records` must have been checked against what the file can hold, which the
// ids frame (8 bytes each, never compressed) then proves. Groups that are not known are skipped, or refused where
// their entry says must-understand.
class FrameDecoder {
 public:
  FrameDecoder(uint64_t records, ReadNames names, std::filesystem::path path);
  bool wants(const FrameEntry& entry) const;  // Whether add() needs the frame's bytes.
  void add(const FrameEntry& entry, std::span<const std::byte> bytes, uint64_t offset);
  // Throws Error(kCorruption) where a group is missing or columns contradict each other or the format's limits.
  IndexColumns finish();

 private:
  void add_ids(std::span<const std::byte> raw, uint64_t offset);
  void add_plan(std::span<const std::byte> raw);
  void check_entry(const FrameEntry& entry, uint64_t offset) const;

  uint64_t records_;
  ReadNames names_;
  std::filesystem::path path_;
  IndexColumns columns_;
  bool have_ids_ = false, have_plan_ = false, have_names_ = false;
};

// A shard's index: head and frames.
std::vector<std::byte> encode_index_block(const IndexColumns& columns);
// Throws Error(kCorruption) or Error(kUnsupportedVersion). `records` is what the footer says, already checked against
// the file's size; `offset` that of the block in its file.
IndexColumns decode_index_block(std::span<const std::byte> block, uint64_t records, const std::filesystem::path& path,
                                uint64_t offset);

}  // namespace imgpack
