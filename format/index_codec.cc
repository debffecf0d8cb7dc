#include "format/index_codec.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "format/bytes.h"
#include "format/checksum.h"
#include "format/error.h"
#include "format/name_codec.h"
#include "format/zstd_frame.h"

namespace imgpack {
namespace {

uint64_t count_records(std::span<const IndexColumns* const> parts) {
  uint64_t records = 0;
  for (const IndexColumns* part : parts) records += part->size();
  return records;
}

Frame make_frame(layout::FrameGroup group, layout::FrameCodec codec, uint16_t split, std::vector<std::byte> raw) {
  Frame frame;
  frame.entry.group = group;
  frame.entry.codec = codec;
  frame.entry.flags = layout::frame_entry::kMustUnderstand;
  frame.entry.split = split;
  frame.entry.raw_bytes = raw.size();
  frame.bytes = codec == layout::kCodecZstd ? zstd_compress(raw) : std::move(raw);
  frame.entry.stored_bytes = frame.bytes.size();
  frame.entry.checksum = checksum(frame.bytes);
  return frame;
}

// The plan columns in their order on disk. "Other" bytes (header, name, further sections) stand for record_bytes, from
// which they differ by what is stored already: they hardly vary.
std::array<uint32_t, layout::kPlanColumns> plan_row(const IndexColumns& columns, size_t i) {
  return {columns.image_bytes[i],
          columns.entropy_bytes[i],
          columns.record_bytes[i] - columns.image_bytes[i] - columns.entropy_bytes[i],
          static_cast<uint32_t>(columns.label[i]),
          columns.width[i],
          columns.height[i],
          columns.flags[i]};
}

}  // namespace

Frame encode_ids(std::span<const IndexColumns* const> parts, uint16_t split) {
  std::vector<std::byte> raw(count_records(parts) * 8);
  std::byte* out = raw.data();
  for (const IndexColumns* part : parts) {
    for (const uint64_t id : part->id) {
      store_u64(out, id);
      out += 8;
    }
  }
  return make_frame(layout::kGroupIds, layout::kCodecRaw, split, std::move(raw));
}

Frame encode_plan(std::span<const IndexColumns* const> parts, uint16_t split) {
  const uint64_t records = count_records(parts);
  std::vector<std::byte> raw(records * 4 * layout::kPlanColumns);
  uint64_t row = 0;
  for (const IndexColumns* part : parts) {
    for (size_t i = 0; i < part->size(); ++i, ++row) {
      const auto values = plan_row(*part, i);
      for (size_t c = 0; c < values.size(); ++c)
        for (unsigned plane = 0; plane < 4; ++plane)
          raw[(c * 4 + plane) * records + row] = static_cast<std::byte>(values[c] >> (8 * plane) & 0xff);
    }
  }
  return make_frame(layout::kGroupPlan, layout::kCodecZstd, split, std::move(raw));
}

Frame encode_name_frame(std::span<const IndexColumns* const> parts, uint16_t split) {
  return make_frame(layout::kGroupNames, layout::kCodecZstd, split, encode_names(parts));
}

void store_frame_entry(std::span<std::byte> out, const FrameEntry& entry) {
  store(out, layout::frame_entry::kGroup, entry.group);
  store(out, layout::frame_entry::kCodec, entry.codec);
  store(out, layout::frame_entry::kFlags, entry.flags);
  store(out, layout::frame_entry::kSplit, entry.split);
  store(out, layout::frame_entry::kStoredBytes, entry.stored_bytes);
  store(out, layout::frame_entry::kRawBytes, entry.raw_bytes);
  store(out, layout::frame_entry::kChecksum, entry.checksum);
}

FrameEntry load_frame_entry(std::span<const std::byte> in) {
  FrameEntry entry;
  entry.group = static_cast<uint16_t>(load(in, layout::frame_entry::kGroup));
  entry.codec = static_cast<uint16_t>(load(in, layout::frame_entry::kCodec));
  entry.flags = static_cast<uint16_t>(load(in, layout::frame_entry::kFlags));
  entry.split = static_cast<uint16_t>(load(in, layout::frame_entry::kSplit));
  entry.stored_bytes = load(in, layout::frame_entry::kStoredBytes);
  entry.raw_bytes = load(in, layout::frame_entry::kRawBytes);
  entry.checksum = load(in, layout::frame_entry::kChecksum);
  return entry;
}

FrameDecoder::FrameDecoder(uint64_t records, ReadNames names, std::filesystem::path path)
    : records_(records), names_(names), path_(std::move(path)) {}

bool FrameDecoder::wants(const FrameEntry& entry) const {
  switch (entry.group) {
    case layout::kGroupIds:
    case layout::kGroupPlan:
      return true;
    case layout::kGroupNames:
      return names_ == ReadNames::kYes;
    default:
      return false;
  }
}

void FrameDecoder::check_entry(const FrameEntry& entry, uint64_t offset) const {
  const auto expect_raw = [&](const char* what, uint64_t expected) {
    if (entry.raw_bytes != expected) {
      throw Error(ErrorKind::kCorruption,
                  std::string(what) + " in the index have the wrong size: expected " + std::to_string(expected) +
                      " bytes, found " + std::to_string(entry.raw_bytes),
                  path_, offset);
    }
  };
  switch (entry.group) {
    case layout::kGroupIds:
      expect_raw("sample ids", records_ * 8);
      break;
    case layout::kGroupPlan:
      expect_raw("plan columns", records_ * 4 * layout::kPlanColumns);
      break;
    case layout::kGroupNames:
      if (entry.raw_bytes > max_raw_names_bytes(records_) || entry.raw_bytes > layout::kMaxIndexBytes) {
        throw Error(ErrorKind::kCorruption,
                    "names in the index are too large: found " + std::to_string(entry.raw_bytes) + " bytes for " +
                        std::to_string(records_) + " records",
                    path_, offset);
      }
      break;
    default:
      break;
  }
  const bool raw_ids = entry.group == layout::kGroupIds && entry.codec == layout::kCodecRaw;
  const bool zstd_rest = entry.group != layout::kGroupIds && entry.codec == layout::kCodecZstd;
  if (!raw_ids && !zstd_rest) {
    throw Error(ErrorKind::kUnsupportedVersion,
                "index group " + std::to_string(entry.group) + " is stored with codec " + std::to_string(entry.codec) +
                    ", which this version does not know",
                path_, offset, "use a newer imgpack");
  }
}

void FrameDecoder::add(const FrameEntry& entry, std::span<const std::byte> bytes, uint64_t offset) {
  if (!wants(entry)) {
    if (entry.group > layout::kGroupNames && (entry.flags & layout::frame_entry::kMustUnderstand) != 0) {
      throw Error(ErrorKind::kUnsupportedVersion,
                  "the index has column group " + std::to_string(entry.group) +
                      " that a reader must understand, and this one does not",
                  path_, offset, "use a newer imgpack");
    }
    return;
  }
  check_entry(entry, offset);
  const uint64_t computed = checksum(bytes);
  if (!same_checksum(entry.checksum, computed)) {
    throw Error(ErrorKind::kCorruption,
                "index checksum mismatch in column group " + std::to_string(entry.group) + ": expected " +
                    to_hex(entry.checksum) + ", found " + to_hex(computed),
                path_, offset, "imgpack repair DIR rebuilds an index from the records");
  }
  const auto once = [&](bool& have) {
    if (std::exchange(have, true))
      throw Error(ErrorKind::kCorruption, "the index has column group " + std::to_string(entry.group) + " twice", path_,
                  offset);
  };
  switch (entry.group) {
    case layout::kGroupIds:
      once(have_ids_);
      add_ids(bytes, offset);
      break;
    case layout::kGroupPlan:
      once(have_plan_);
      if (!have_ids_)  // Nothing but their size proves the record count.
        throw Error(ErrorKind::kCorruption, "the index has columns before the sample ids", path_, offset);
      add_plan(zstd_decompress(bytes, entry.raw_bytes, path_, offset));
      break;
    default: {
      once(have_names_);
      if (!have_plan_) throw Error(ErrorKind::kCorruption, "the index has names before their labels", path_, offset);
      columns_.names =
          decode_names(zstd_decompress(bytes, entry.raw_bytes, path_, offset), columns_.label, path_, offset);
    }
  }
}

void FrameDecoder::add_ids(std::span<const std::byte> raw, uint64_t offset) {
  if (raw.size() != records_ * 8)
    throw Error(ErrorKind::kCorruption, "sample ids in the index are cut short", path_, offset);
  columns_.id.resize(records_);
  if (!raw.empty()) std::memcpy(columns_.id.data(), raw.data(), raw.size());
}

void FrameDecoder::add_plan(std::span<const std::byte> raw) {
  const auto column = [&](size_t c, auto& values) {
    values.resize(records_);
    const std::byte* plane = raw.data() + c * 4 * records_;
    const std::byte *p0 = plane, *p1 = plane + records_, *p2 = plane + 2 * records_, *p3 = plane + 3 * records_;
    for (size_t i = 0; i < records_; ++i) {
      values[i] = static_cast<std::remove_reference_t<decltype(values[i])>>(
          static_cast<uint32_t>(p0[i]) | static_cast<uint32_t>(p1[i]) << 8 | static_cast<uint32_t>(p2[i]) << 16 |
          static_cast<uint32_t>(p3[i]) << 24);
    }
  };
  column(0, columns_.image_bytes);
  column(1, columns_.entropy_bytes);
  column(2, columns_.record_bytes);  // "Other" bytes until finish() has added the rest.
  column(3, columns_.label);
  column(4, columns_.width);
  column(5, columns_.height);
  column(6, columns_.flags);
}

IndexColumns FrameDecoder::finish() {
  if (!have_ids_ || !have_plan_ || (names_ == ReadNames::kYes && !have_names_))
    throw Error(ErrorKind::kCorruption, "the index lacks a column group: expected ids, plan and names", path_);
  for (size_t i = 0; i < records_; ++i) {
    const uint64_t bytes = uint64_t{columns_.record_bytes[i]} + columns_.image_bytes[i] + columns_.entropy_bytes[i];
    if (columns_.record_bytes[i] < layout::kMinRecordBytes || bytes > layout::kMaxRecordBytes ||
        columns_.label[i] < kNoLabel) {
      throw Error(ErrorKind::kCorruption,
                  "row " + std::to_string(i) + " of the index is out of range: " + std::to_string(bytes) +
                      " bytes, label " + std::to_string(columns_.label[i]),
                  path_);
    }
    columns_.record_bytes[i] = static_cast<uint32_t>(bytes);
  }
  return std::move(columns_);
}

std::vector<std::byte> encode_index_block(const IndexColumns& columns) {
  namespace field = layout::index_header;
  const IndexColumns* const parts[] = {&columns};
  const Frame frames[] = {encode_ids(parts, 0), encode_plan(parts, 0), encode_name_frame(parts, 0)};
  const size_t head_bytes = field::kFixedBytes + std::size(frames) * layout::frame_entry::kBytes + 8;
  std::vector<std::byte> block(head_bytes);
  store(block, field::kMagic, layout::kIndexMagic);
  store(block, field::kHeadBytes, head_bytes);
  store(block, field::kRecords, columns.size());
  store(block, field::kFrameCount, std::size(frames));
  for (size_t f = 0; f < std::size(frames); ++f)
    store_frame_entry(std::span(block).subspan(field::kFixedBytes + f * layout::frame_entry::kBytes), frames[f].entry);
  store_u64(block.data() + head_bytes - 8, checksum(std::span<const std::byte>(block).first(head_bytes - 8)));
  for (const Frame& frame : frames) block.insert(block.end(), frame.bytes.begin(), frame.bytes.end());
  return block;
}

IndexColumns decode_index_block(std::span<const std::byte> block, uint64_t records, const std::filesystem::path& path,
                                uint64_t offset) {
  namespace field = layout::index_header;
  const auto damaged = [&](const std::string& what) {
    throw Error(ErrorKind::kCorruption, "shard index is damaged: " + what, path, offset,
                "imgpack repair DIR rebuilds an index from the records");
  };
  if (block.size() < field::kFixedBytes + 8) damaged("it is cut short");
  if (load(block, field::kMagic) != layout::kIndexMagic) damaged("its magic is wrong");
  const uint64_t head_bytes = load(block, field::kHeadBytes);
  const uint64_t frame_count = load(block, field::kFrameCount);
  if (frame_count > layout::kMaxFrames ||
      head_bytes < field::kFixedBytes + frame_count * layout::frame_entry::kBytes + 8 || head_bytes > block.size())
    damaged("its head has an impossible length");
  const uint64_t stored = load_u64(block.data() + head_bytes - 8);
  const uint64_t computed = checksum(block.first(head_bytes - 8));
  if (!same_checksum(stored, computed))
    damaged("head checksum mismatch: expected " + to_hex(stored) + ", found " + to_hex(computed));
  if (load(block, field::kRecords) != records)
    damaged("record count mismatch: expected " + std::to_string(records) + ", found " +
            std::to_string(load(block, field::kRecords)));

  FrameDecoder decoder(records, ReadNames::kYes, path);
  uint64_t at = head_bytes;
  for (uint64_t f = 0; f < frame_count; ++f) {
    const FrameEntry entry = load_frame_entry(
        block.subspan(field::kFixedBytes + f * layout::frame_entry::kBytes, layout::frame_entry::kBytes));
    if (entry.stored_bytes > block.size() - at) damaged("a frame lies outside it");
    decoder.add(entry, block.subspan(at, entry.stored_bytes), offset + at);
    at += entry.stored_bytes;
  }
  if (at != block.size()) damaged("it is longer than its frames");
  return decoder.finish();
}

}  // namespace imgpack
