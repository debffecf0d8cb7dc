// What is left of a shard whose header, index or footer cannot be believed: its records, found by their own headers.
//
//   header? | record | record | ~~damage~~ | record | … | index? | footer?
//             found    found     gap          found
//
// A record counts as found when its header's checksum is right, its id is that of its split and name, its key belongs
// to this shard and follows the record before it, and it ends within the file. Its sections are not read: that is for
// those who copy or verify it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "format/file.h"
#include "format/shard_index.h"
#include "format/shard_writer.h"

namespace imgpack {

// Bytes where records should be and none was found.
struct SalvageGap {
  uint64_t offset = 0;
  uint64_t bytes = 0;
  std::string why;  // What the first record header of the gap is missing.
};

struct SalvagedShard {
  bool header_intact = false;
  ShardHeader header;             // The file's own, or the expected one where that is damaged.
  IndexColumns columns;           // Of the records found, names included.
  std::vector<uint64_t> offsets;  // Of the records found.
  std::vector<SalvageGap> gaps;
  uint64_t records_end = 0;  // Where the index block starts, or the file's end where none was found.
};

// `expected` is what the manifest or the file's name say of the shard. Memory is bounded by a few times the file's
// size. Throws Error(kIo).
SalvagedShard salvage_shard(const RandomAccessFile& file, const ShardHeader& expected);

}  // namespace imgpack
