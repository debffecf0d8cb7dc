#include "format/shard_codec.h"

#include <algorithm>
#include <charconv>
#include <string>

#include "format/bytes.h"
#include "format/checksum.h"
#include "format/error.h"

namespace imgpack {

bool is_split_name(std::string_view name) {
  return !name.empty() && name.size() <= layout::kMaxSplitNameBytes &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
         });
}

std::optional<ShardHeader> parse_shard_file_name(std::string_view name) {
  static constexpr std::string_view kSuffix = ".ipk";
  const size_t dash = name.rfind('-');
  if (!name.ends_with(kSuffix) || dash == std::string_view::npos) return std::nullopt;
  const std::string_view digits = name.substr(dash + 1, name.size() - kSuffix.size() - dash - 1);
  ShardHeader header;
  header.split = name.substr(0, dash);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), header.number);
  if (error != std::errc() || end != digits.data() + digits.size() || header.number >= layout::kMaxShards ||
      !is_split_name(header.split) || shard_file_name(header.split, header.number) != name)
    return std::nullopt;
  header.shard_count = header.number + 1;
  return header;
}

std::vector<std::byte> encode_shard_header(const ShardHeader& header) {
  namespace field = layout::shard_header;
  if (!is_split_name(header.split)) {
    throw Error(ErrorKind::kInvalidInput,
                "cannot write a shard of split '" + header.split + "': expected 1 to 31 letters, digits, '_' or '-'");
  }
  if (header.shard_count > layout::kMaxShards || header.number >= header.shard_count) {
    throw Error(ErrorKind::kInvalidInput,
                "cannot write shard " + std::to_string(header.number) + " of " + std::to_string(header.shard_count) +
                    ": expected a number below the count, at most " + std::to_string(layout::kMaxShards));
  }
  std::vector<std::byte> bytes(field::kBytes);
  store(bytes, field::kMagic, layout::kShardMagic);
  store(bytes, field::kMajor, layout::kMajor);
  store(bytes, field::kMinor, layout::kMinor);
  store(bytes, field::kHeaderBytes, field::kBytes);
  store(bytes, field::kPlanId, header.plan_id);
  store(bytes, field::kSeed, header.seed);
  store(bytes, field::kNumber, header.number);
  store(bytes, field::kShardCount, header.shard_count);
  store(bytes, field::kSplitBytes, header.split.size());
  std::memcpy(bytes.data() + field::kSplit.offset, header.split.data(), header.split.size());
  store(bytes, field::kChecksum, checksum(std::span<const std::byte>(bytes).first(field::kChecksum.offset)));
  return bytes;
}

uint32_t check_file_head(std::span<const std::byte> start, uint64_t magic, uint32_t least_bytes, uint32_t most_bytes,
                         uint32_t known_required_flags, const char* what, const std::filesystem::path& path) {
  namespace prefix = layout::frozen_prefix;
  if (start.size() < prefix::kBytes) {
    throw Error(ErrorKind::kCorruption,
                std::string(what) + " is too short: expected at least " + std::to_string(least_bytes) +
                    " bytes, found " + std::to_string(start.size()),
                path, 0);
  }
  if (load(start, prefix::kMagic) != magic) {
    throw Error(ErrorKind::kCorruption,
                std::string(what) + " magic mismatch: expected " + to_hex(magic) + ", found " +
                    to_hex(load(start, prefix::kMagic)),
                path, 0);
  }
  const uint64_t header_bytes = load(start, prefix::kHeaderBytes);
  if (header_bytes < prefix::kBytes + 8 || header_bytes > most_bytes || header_bytes > start.size()) {
    throw Error(ErrorKind::kCorruption,
                std::string(what) + " header length out of range: expected at most " +
                    std::to_string(std::min<uint64_t>(most_bytes, start.size())) + ", found " +
                    std::to_string(header_bytes),
                path, prefix::kHeaderBytes.offset);
  }
  const uint64_t stored = load_u64(start.data() + header_bytes - 8);
  const uint64_t computed = checksum(start.first(header_bytes - 8));
  if (!same_checksum(stored, computed)) {
    throw Error(
        ErrorKind::kCorruption,
        std::string(what) + " header checksum mismatch: expected " + to_hex(stored) + ", found " + to_hex(computed),
        path, 0);
  }
  // Only an intact header is believed about its version.
  const uint64_t major = load(start, prefix::kMajor);
  if (major != layout::kMajor) {
    throw Error(ErrorKind::kUnsupportedVersion,
                std::string(what) + " has format version " + std::to_string(major) + "." +
                    std::to_string(load(start, prefix::kMinor)) + ": expected version " +
                    std::to_string(layout::kMajor),
                path, prefix::kMajor.offset, "use the imgpack that wrote it, or a newer one");
  }
  if (header_bytes < least_bytes) {
    throw Error(ErrorKind::kCorruption,
                std::string(what) + " header is too short: expected at least " + std::to_string(least_bytes) +
                    " bytes, found " + std::to_string(header_bytes),
                path, 0);
  }
  // Required flags lie at the same place in both kinds of file.
  static_assert(layout::shard_header::kRequired.offset == layout::dataset_header::kRequired.offset);
  const auto required = static_cast<uint32_t>(load(start, layout::shard_header::kRequired));
  if ((required & ~known_required_flags) != 0) {
    throw Error(ErrorKind::kUnsupportedVersion,
                std::string(what) + " uses a feature that a reader must understand, and this one does not: flags " +
                    to_hex(required).substr(8),
                path, layout::shard_header::kRequired.offset, "use a newer imgpack");
  }
  return static_cast<uint32_t>(header_bytes);
}

ParsedShardHeader parse_shard_header(std::span<const std::byte> start, const std::filesystem::path& path) {
  namespace field = layout::shard_header;
  ParsedShardHeader parsed;
  parsed.header_bytes = check_file_head(start, layout::kShardMagic, field::kBytes, layout::kMaxFileHeaderBytes,
                                        field::kKnownRequiredFlags, "shard", path);
  ShardHeader& header = parsed.header;
  header.plan_id = load(start, field::kPlanId);
  header.seed = load(start, field::kSeed);
  header.number = static_cast<uint32_t>(load(start, field::kNumber));
  header.shard_count = static_cast<uint32_t>(load(start, field::kShardCount));
  const size_t split_bytes = std::min<size_t>(load(start, field::kSplitBytes), field::kSplit.bytes);
  header.split = as_text(start.subspan(field::kSplit.offset, split_bytes));
  if (!is_split_name(header.split))
    throw Error(ErrorKind::kCorruption, "shard header names no split", path, field::kSplit.offset);
  if (header.shard_count > layout::kMaxShards || header.number >= header.shard_count) {
    throw Error(ErrorKind::kCorruption,
                "shard number out of range: found " + std::to_string(header.number) + " of " +
                    std::to_string(header.shard_count),
                path, field::kNumber.offset);
  }
  return parsed;
}

std::vector<std::byte> encode_shard_footer(const ShardFooter& footer) {
  namespace field = layout::shard_footer;
  std::vector<std::byte> bytes(field::kBytes);
  store(bytes, field::kIndexOffset, footer.index_offset);
  store(bytes, field::kIndexBytes, footer.index_bytes);
  store(bytes, field::kRecords, footer.records);
  store(bytes, field::kContent, footer.content);
  store(bytes, field::kPlanId, footer.plan_id);
  store(bytes, field::kNumber, footer.number);
  store(bytes, field::kShardCount, footer.shard_count);
  store(bytes, field::kChecksum, checksum(std::span<const std::byte>(bytes).first(field::kChecksum.offset)));
  store(bytes, field::kMagic, layout::kFooterMagic);
  return bytes;
}

ShardFooter parse_shard_footer(std::span<const std::byte> end, uint64_t file_bytes, uint32_t header_bytes,
                               const std::filesystem::path& path) {
  namespace field = layout::shard_footer;
  const uint64_t offset = file_bytes - field::kBytes;
  const auto damaged = [&](const std::string& what, layout::Field at) {
    throw Error(ErrorKind::kCorruption, what, path, offset + at.offset,
                "imgpack repair DIR rebuilds an index from the records");
  };
  if (load(end, field::kMagic) != layout::kFooterMagic)
    damaged("shard footer magic mismatch (the file may have been cut short): expected " + to_hex(layout::kFooterMagic) +
                ", found " + to_hex(load(end, field::kMagic)),
            field::kMagic);
  const uint64_t stored = load(end, field::kChecksum);
  const uint64_t computed = checksum(end.first(field::kChecksum.offset));
  if (!same_checksum(stored, computed))
    damaged("shard footer checksum mismatch: expected " + to_hex(stored) + ", found " + to_hex(computed),
            field::kChecksum);
  ShardFooter footer;
  footer.index_offset = load(end, field::kIndexOffset);
  footer.index_bytes = load(end, field::kIndexBytes);
  footer.records = load(end, field::kRecords);
  footer.content = load(end, field::kContent);
  footer.plan_id = load(end, field::kPlanId);
  footer.number = static_cast<uint32_t>(load(end, field::kNumber));
  footer.shard_count = static_cast<uint32_t>(load(end, field::kShardCount));
  if (footer.index_offset < header_bytes || footer.index_offset > offset ||
      footer.index_bytes != offset - footer.index_offset || footer.index_bytes > layout::kMaxIndexBytes)
    damaged("index lies outside the shard: offset " + std::to_string(footer.index_offset) + ", " +
                std::to_string(footer.index_bytes) + " bytes",
            field::kIndexOffset);
  if (footer.records > (footer.index_offset - header_bytes) / layout::kMinRecordBytes)
    damaged("more records than fit in the shard: found " + std::to_string(footer.records), field::kRecords);
  return footer;
}

}  // namespace imgpack
