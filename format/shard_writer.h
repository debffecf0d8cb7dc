// ShardWriter writes one shard file from its first byte to its last and publishes it by rename.
//
//   header | record | record | … | index frame | footer        (docs/shard-format.md)
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "format/file.h"
#include "format/record.h"
#include "format/shard_index.h"

namespace imgpack {

struct ShardHeader {
  std::string split;         // `train`, `val` or `test`.
  uint32_t number = 0;       // Of this shard within its split, from 0.
  uint32_t shard_count = 0;  // Of the split.
  uint64_t seed = 0;         // Of the order.
  uint64_t plan_id = 0;      // Digest of source names and options: shards of different builds never mix.
};

// What the manifest stores about a shard.
struct ShardSummary {
  std::string file;  // Name within the dataset folder.
  uint64_t records = 0;
  uint64_t bytes = 0;
  uint64_t index_offset = 0;
  uint64_t content = 0;  // Sum modulo 2^64 of content_digest() of its records.
  uint64_t digest = 0;   // XXH3-64 of the whole file.
};

// Not thread-safe. Throws Error(kIo) if the disk fails; the target is then untouched.
class ShardWriter {
 public:
  // Writes to `target` + ".tmp" until finish().
  ShardWriter(FileSystem& fs, std::filesystem::path target, const ShardHeader& header);
  ~ShardWriter();  // Without finish(): removes the temporary file.
  ShardWriter(const ShardWriter&) = delete;
  ShardWriter& operator=(const ShardWriter&) = delete;

  // REQUIRES: records come in ascending (order_key, name); finish() has not been called. Throws Error(kInvalidInput)
  // for a record out of order or above the format's limits.
  void append(const Record& record);
  // The same for a record that is encoded already (a spill file's, another shard's): copied byte for byte, its
  // checksums verified first. Throws Error(kCorruption) for damaged bytes.
  void append_encoded(std::span<const std::byte> record);
  // Makes the shard visible under `target`: index, footer, sync, rename, directory sync.
  ShardSummary finish();
  const IndexColumns& columns() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// shard_file_name("train", 7) == "train-00007.ipk"
std::string shard_file_name(std::string_view split, uint32_t number);

}  // namespace imgpack
