// The columns that describe the records of one shard, or of a whole split, in record order. They are stored zstd-
// compressed at the end of every shard, and for all shards together in the dataset-level index file.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "format/record.h"

namespace imgpack {

enum class ReadNames { kNo, kYes };

struct IndexColumns {
  // All of equal length, one element per record.
  std::vector<uint64_t> id;
  std::vector<uint32_t> record_bytes;   // The whole record, header included. Offsets follow from it.
  std::vector<uint32_t> image_bytes;    // Of the image section.
  std::vector<uint32_t> entropy_bytes;  // Of the entropy index section, 0 if there is none.
  std::vector<int32_t> label;
  std::vector<uint32_t> width;
  std::vector<uint32_t> height;
  std::vector<uint32_t> flags;
  std::vector<std::string> names;  // May be left empty by a reader that asked for no names.

  size_t size() const { return id.size(); }
  void append(const RecordMeta& meta, uint32_t record_bytes, uint32_t image_bytes, uint32_t entropy_bytes);
};

// Start of every record, from the first record's offset, and the end of the last one: size() + 1 elements.
std::vector<uint64_t> record_offsets(const IndexColumns& columns, uint64_t first_offset);

}  // namespace imgpack
