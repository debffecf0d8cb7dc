// ShardReader opens one shard, checks its header, footer and index, and reads single records. Training does not read
// through it (engine/data/block_reader.h reads whole blocks); verify, inspect, extract and tests do.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "format/file.h"
#include "format/record.h"
#include "format/shard_codec.h"
#include "format/shard_index.h"
#include "format/shard_writer.h"

namespace imgpack {

// Thread-safe after construction. Throws Error(kCorruption), Error(kUnsupportedVersion) or Error(kIo).
class ShardReader {
 public:
  ShardReader(FileSystem& fs, const std::filesystem::path& path);

  const ShardHeader& header() const { return header_; }
  const ShardFooter& footer() const { return footer_; }
  const IndexColumns& columns() const { return columns_; }
  uint64_t records() const { return columns_.size(); }
  const std::vector<uint64_t>& offsets() const { return offsets_; }  // records() + 1 elements.
  uint64_t index_offset() const { return offsets_.back(); }
  const RandomAccessFile& file() const { return *file_; }

  // Reads and checks record `i` into `buffer`; the view points into it. REQUIRES: i < records().
  RecordView read(uint64_t i, std::vector<std::byte>& buffer) const;

 private:
  std::unique_ptr<RandomAccessFile> file_;
  ShardHeader header_;
  ShardFooter footer_;
  IndexColumns columns_;
  std::vector<uint64_t> offsets_;
};

// What every reader checks of record `i` beyond its checksums: that it is the one the index means. Throws
// Error(kCorruption). Names are compared where the columns have them.
void check_against_index(const RecordView& record, const IndexColumns& columns, uint64_t i,
                         const std::filesystem::path& path, uint64_t offset);

}  // namespace imgpack
