#include "format/shard_index.h"

namespace imgpack {

void IndexColumns::append(const RecordMeta& meta, uint32_t record_bytes_, uint32_t image_bytes_,
                          uint32_t entropy_bytes_) {
  id.push_back(meta.id);
  record_bytes.push_back(record_bytes_);
  image_bytes.push_back(image_bytes_);
  entropy_bytes.push_back(entropy_bytes_);
  label.push_back(meta.label);
  width.push_back(meta.width);
  height.push_back(meta.height);
  flags.push_back(meta.flags);
  names.push_back(meta.name);
}

std::vector<uint64_t> record_offsets(const IndexColumns& columns, uint64_t first_offset) {
  std::vector<uint64_t> offsets;
  offsets.reserve(columns.size() + 1);
  uint64_t offset = first_offset;
  for (const uint32_t bytes : columns.record_bytes) {
    offsets.push_back(offset);
    offset += bytes;
  }
  offsets.push_back(offset);
  return offsets;
}

}  // namespace imgpack
