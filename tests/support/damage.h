// Verbs for breaking files on purpose.
#pragma once

#include <cstdint>
#include <filesystem>

#include "format/shard_writer.h"
#include "tests/support/memory_file_system.h"

namespace imgpack::test {

void flip_bit(MemoryFileSystem& fs, const std::filesystem::path& path, uint64_t byte, unsigned bit = 0);
void cut(MemoryFileSystem& fs, const std::filesystem::path& path, uint64_t bytes);  // Keeps the first `bytes`.

// Writes the shard again with a header that says something else, checksum and all.
void forge_header(MemoryFileSystem& fs, const std::filesystem::path& path, const ShardHeader& header);

}  // namespace imgpack::test
