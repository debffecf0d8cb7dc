#include "format/dataset_index.h"

#include "format/bytes.h"
#include "format/checksum.h"
#include "format/error.h"
#include "format/shard_codec.h"

namespace imgpack {

namespace field = layout::dataset_header;

EncodedDatasetIndex encode_dataset_index(const std::vector<SplitColumns>& splits) {
  std::vector<Frame> frames, names;
  size_t shard_count = 0;
  for (size_t s = 0; s < splits.size(); ++s) {
    if (!is_split_name(splits[s].split) || splits.size() > layout::kMaxSplits)
      throw Error(ErrorKind::kInvalidInput, "cannot index split '" + splits[s].split + "'");
    std::vector<const IndexColumns*> parts;
    for (const IndexColumns& shard : splits[s].shards) parts.push_back(&shard);
    shard_count += parts.size();
    frames.push_back(encode_ids(parts, static_cast<uint16_t>(s)));
    frames.push_back(encode_plan(parts, static_cast<uint16_t>(s)));
    names.push_back(encode_name_frame(parts, static_cast<uint16_t>(s)));
  }
  const size_t frame_count = frames.size() + names.size();
  const size_t header_bytes = field::kFixedBytes + splits.size() * layout::split_entry::kBytes + shard_count * 4 +
                              frame_count * layout::frame_entry::kBytes + 8;
  std::vector<std::byte> head(header_bytes);
  store(head, field::kMagic, layout::kDatasetMagic);
  store(head, field::kMajor, layout::kMajor);
  store(head, field::kMinor, layout::kMinor);
  store(head, field::kHeaderBytes, header_bytes);
  store(head, field::kSplitCount, splits.size());
  store(head, field::kFrameCount, frame_count);
  std::span<std::byte> rest = std::span(head).subspan(field::kFixedBytes);
  for (const SplitColumns& split : splits) {
    uint64_t records = 0;
    for (const IndexColumns& shard : split.shards) records += shard.size();
    store(rest, layout::split_entry::kNameBytes, split.split.size());
    std::memcpy(rest.data() + layout::split_entry::kName.offset, split.split.data(), split.split.size());
    store(rest, layout::split_entry::kRecords, records);
    store(rest, layout::split_entry::kShardCount, split.shards.size());
    rest = rest.subspan(layout::split_entry::kBytes);
  }
  for (const SplitColumns& split : splits) {
    for (const IndexColumns& shard : split.shards) {
      const auto records = static_cast<uint32_t>(shard.size());
      std::memcpy(rest.data(), &records, 4);
      rest = rest.subspan(4);
    }
  }
  EncodedDatasetIndex index;
  index.plan_bytes = header_bytes;
  for (const Frame& frame : frames) index.plan_bytes += frame.bytes.size();
  for (Frame& frame : names) frames.push_back(std::move(frame));
  for (const Frame& frame : frames) {
    store_frame_entry(rest, frame.entry);
    rest = rest.subspan(layout::frame_entry::kBytes);
  }
  index.digest = checksum(std::span<const std::byte>(head).first(header_bytes - 8));
  store_u64(head.data() + header_bytes - 8, index.digest);
  index.bytes.append(as_text(head));
  for (const Frame& frame : frames) index.bytes.append(as_text(frame.bytes));
  return index;
}

DatasetIndexHead parse_dataset_index_head(std::span<const std::byte> bytes, uint64_t file_bytes,
                                          const std::filesystem::path& path) {
  const auto damaged = [&](const std::string& what, uint64_t offset) {
    throw Error(ErrorKind::kCorruption, "dataset index is damaged: " + what, path, offset,
                "imgpack repair DIR rebuilds it from the shards");
  };
  DatasetIndexHead head;
  head.header_bytes = check_file_head(bytes, layout::kDatasetMagic, field::kFixedBytes + 8, UINT32_MAX,
                                      field::kKnownRequiredFlags, "dataset index", path);
  const std::span<const std::byte> all = bytes.first(head.header_bytes);
  head.digest = load_u64(all.data() + all.size() - 8);
  const uint64_t split_count = load(all, field::kSplitCount), frame_count = load(all, field::kFrameCount);
  if (split_count > layout::kMaxSplits || frame_count > layout::kMaxFrames) damaged("too many splits or frames", 0);
  uint64_t at = field::kFixedBytes;
  const uint64_t end = head.header_bytes - 8;
  const auto take = [&](uint64_t size) {
    if (size > end - at) damaged("its head is too short for its tables", at);
    const auto part = all.subspan(at, size);
    at += size;
    return part;
  };

  std::vector<uint64_t> shard_counts;
  for (uint64_t s = 0; s < split_count; ++s) {
    const auto entry = take(layout::split_entry::kBytes);
    IndexedSplit split;
    const uint64_t name_bytes = load(entry, layout::split_entry::kNameBytes);
    if (name_bytes > layout::split_entry::kName.bytes) damaged("a split's name is too long", at);
    split.name = as_text(entry.subspan(layout::split_entry::kName.offset, name_bytes));
    split.records = load(entry, layout::split_entry::kRecords);
    shard_counts.push_back(load(entry, layout::split_entry::kShardCount));
    if (!is_split_name(split.name) || shard_counts.back() > layout::kMaxShards || split.records > file_bytes / 8)
      damaged("split " + std::to_string(s) + " is impossible", at);
    head.splits.push_back(std::move(split));
  }
  for (uint64_t s = 0; s < split_count; ++s) {
    const auto table = take(shard_counts[s] * 4);
    uint64_t sum = 0;
    head.splits[s].shard_records.resize(shard_counts[s]);
    if (!table.empty()) std::memcpy(head.splits[s].shard_records.data(), table.data(), table.size());
    for (const uint32_t records : head.splits[s].shard_records) sum += records;
    if (sum != head.splits[s].records)
      damaged("records of split '" + head.splits[s].name + "': expected " + std::to_string(head.splits[s].records) +
                  ", found " + std::to_string(sum) + " in its shards",
              at);
  }
  uint64_t frame_end = head.header_bytes;
  for (uint64_t f = 0; f < frame_count; ++f) {
    const FrameEntry entry = load_frame_entry(take(layout::frame_entry::kBytes));
    if (entry.split >= split_count) damaged("a frame belongs to no split", at);
    if (entry.stored_bytes > file_bytes || entry.stored_bytes > file_bytes - frame_end)
      damaged("a frame lies outside the file", at);
    frame_end += entry.stored_bytes;
    head.frames.push_back(entry);
  }
  if (frame_end != file_bytes)
    damaged(
        "file length mismatch: expected " + std::to_string(frame_end) + " bytes, found " + std::to_string(file_bytes),
        0);
  return head;
}

std::vector<IndexColumns> decode_dataset_index(const DatasetIndexHead& head, std::span<const std::byte> bytes,
                                               ReadNames names, const std::filesystem::path& path) {
  std::vector<FrameDecoder> decoders;
  for (const IndexedSplit& split : head.splits) decoders.emplace_back(split.records, names, path);
  uint64_t at = head.header_bytes;
  for (const FrameEntry& entry : head.frames) {
    std::span<const std::byte> frame;
    if (decoders[entry.split].wants(entry)) {
      if (at > bytes.size() || entry.stored_bytes > bytes.size() - at)
        throw Error(ErrorKind::kCorruption, "dataset index is damaged: columns lie behind the names", path, at);
      frame = bytes.subspan(at, entry.stored_bytes);
    }
    decoders[entry.split].add(entry, frame, at);
    at += entry.stored_bytes;
  }
  std::vector<IndexColumns> columns;
  columns.reserve(decoders.size());
  for (FrameDecoder& decoder : decoders) columns.push_back(decoder.finish());
  return columns;
}

}  // namespace imgpack
