#include "format/shard_reader.h"

#include <algorithm>
#include <string>

#include "format/bytes.h"
#include "format/error.h"
#include "format/index_codec.h"
#include "format/shard_codec.h"

namespace imgpack {

ShardReader::ShardReader(FileSystem& fs, const std::filesystem::path& path) : file_(fs.open(path)) {
  const uint64_t file_bytes = file_->size();
  if (file_bytes < layout::shard_header::kBytes + layout::shard_footer::kBytes) {
    throw Error(ErrorKind::kCorruption,
                "file is too short to be a shard: expected at least " +
                    std::to_string(layout::shard_header::kBytes + layout::shard_footer::kBytes) + " bytes, found " +
                    std::to_string(file_bytes),
                path);
  }
  std::vector<std::byte> bytes(std::min<uint64_t>(file_bytes, layout::kMaxFileHeaderBytes));
  read_exactly(*file_, 0, bytes);
  const ParsedShardHeader parsed = parse_shard_header(bytes, path);
  header_ = parsed.header;
  bytes.resize(layout::shard_footer::kBytes);
  read_exactly(*file_, file_bytes - bytes.size(), bytes);
  footer_ = parse_shard_footer(bytes, file_bytes, parsed.header_bytes, path);
  if (footer_.plan_id != header_.plan_id || footer_.number != header_.number ||
      footer_.shard_count != header_.shard_count)
    throw Error(ErrorKind::kCorruption, "shard header and footer belong to different shards", path,
                file_bytes - bytes.size());

  bytes.resize(footer_.index_bytes);
  read_exactly(*file_, footer_.index_offset, bytes);
  columns_ = decode_index_block(bytes, footer_.records, path, footer_.index_offset);
  offsets_ = record_offsets(columns_, parsed.header_bytes);
  if (offsets_.back() != footer_.index_offset) {
    throw Error(ErrorKind::kCorruption,
                "record lengths in the index do not fill the shard: expected " + std::to_string(footer_.index_offset) +
                    " bytes, found " + std::to_string(offsets_.back()),
                path, footer_.index_offset, "imgpack repair DIR rebuilds an index from the records");
  }
}

RecordView ShardReader::read(uint64_t i, std::vector<std::byte>& buffer) const {
  if (i >= records())
    throw Error(ErrorKind::kInternal, "record " + std::to_string(i) + " of " + std::to_string(records()),
                file_->path());
  buffer.resize(columns_.record_bytes[i]);
  read_exactly(*file_, offsets_[i], buffer);
  RecordView record = parse_record(buffer, file_->path(), offsets_[i]);
  check_against_index(record, columns_, i, file_->path(), offsets_[i]);
  return record;
}

void check_against_index(const RecordView& record, const IndexColumns& columns, uint64_t i,
                         const std::filesystem::path& path, uint64_t offset) {
  const RecordMeta& meta = record.meta;
  const char* what = nullptr;
  if (meta.id != columns.id[i]) what = "sample id";
  if (meta.label != columns.label[i]) what = "label";
  if (meta.width != columns.width[i] || meta.height != columns.height[i]) what = "size in pixels";
  if (meta.flags != columns.flags[i]) what = "flags";
  if (record.image().size() != columns.image_bytes[i]) what = "image length";
  if (record.entropy_index().size() != columns.entropy_bytes[i]) what = "entropy index length";
  if (!columns.names.empty() && meta.name != columns.names[i]) what = "name";
  if (what != nullptr) {
    throw Error(ErrorKind::kCorruption, "record '" + meta.name + "' and the index differ in " + what, path, offset,
                "imgpack repair DIR rebuilds an index from the records");
  }
}

}  // namespace imgpack
