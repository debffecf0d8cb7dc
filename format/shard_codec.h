// The fixed structures at both ends of a shard: header and footer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "format/shard_writer.h"

namespace imgpack {

struct ShardFooter {
  uint64_t index_offset = 0;
  uint64_t index_bytes = 0;
  uint64_t records = 0;
  uint64_t content = 0;
  uint64_t plan_id = 0;
  uint32_t number = 0;
  uint32_t shard_count = 0;
};

// Throws Error(kInvalidInput) for a header that cannot be: a split's name that is none, a number out of range.
std::vector<std::byte> encode_shard_header(const ShardHeader& header);
std::vector<std::byte> encode_shard_footer(const ShardFooter& footer);

struct ParsedShardHeader {
  ShardHeader header;
  uint32_t header_bytes = 0;  // Where the first record starts.
};

// `start` is the file's beginning: layout::kMaxFileHeaderBytes of it, or the whole file if that is shorter. Throws
// Error(kCorruption), or Error(kUnsupportedVersion) for an intact header of another major version or with a required
// flag that is not known.
ParsedShardHeader parse_shard_header(std::span<const std::byte> start, const std::filesystem::path& path);

// `end` is the last layout::shard_footer::kBytes of the file. Bounds are checked against the other arguments.
ShardFooter parse_shard_footer(std::span<const std::byte> end, uint64_t file_bytes, uint32_t header_bytes,
                               const std::filesystem::path& path);

// The checks that a shard header and a dataset index head share: magic, length, checksum, version, required flags.
// Returns header_bytes.
uint32_t check_file_head(std::span<const std::byte> start, uint64_t magic, uint32_t least_bytes, uint32_t most_bytes,
                         uint32_t known_required_flags, const char* what, const std::filesystem::path& path);

// What a shard's file name says of it: split and number. nullopt: not the name of a shard. The inverse of
// shard_file_name(); shard_count is number + 1, for want of better knowledge.
std::optional<ShardHeader> parse_shard_file_name(std::string_view name);

// Whether `name` may be a split's: 1 to 31 letters, digits, '_' or '-'.
bool is_split_name(std::string_view name);

}  // namespace imgpack
