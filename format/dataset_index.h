// The dataset-level index file as bytes: the columns of every shard of every split, in one small file.
//
//   head: fixed part | split table | shard table | frame table | checksum
//   frames: ids, plan of split 0; ids, plan of split 1; …; names of split 0; names of split 1; …
//
// A reader that wants no names reads the file up to the first names frame.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "format/dataset.h"
#include "format/index_codec.h"

namespace imgpack {

struct EncodedDatasetIndex {
  std::string bytes;
  uint64_t plan_bytes = 0;
  uint64_t digest = 0;
};
EncodedDatasetIndex encode_dataset_index(const std::vector<SplitColumns>& splits);
// Writes the file, and into the manifest what it says of it.
void publish_dataset_index(FileSystem& fs, const std::filesystem::path& folder, const EncodedDatasetIndex& index,
                           Manifest& manifest);

struct IndexedSplit {
  std::string name;
  std::vector<uint32_t> shard_records;
  uint64_t records = 0;
};

struct DatasetIndexHead {
  uint32_t header_bytes = 0;
  uint64_t digest = 0;
  std::vector<IndexedSplit> splits;
  std::vector<FrameEntry> frames;
};

// `bytes` starts at the file's beginning and holds the whole head. Throws Error(kCorruption) or
// Error(kUnsupportedVersion). `file_bytes` bounds the frames, and through the ids frames the record counts.
DatasetIndexHead parse_dataset_index_head(std::span<const std::byte> bytes, uint64_t file_bytes,
                                          const std::filesystem::path& path);

// The columns of every split, from the file's first bytes: all of them, or without names as many as `plan_bytes` says.
std::vector<IndexColumns> decode_dataset_index(const DatasetIndexHead& head, std::span<const std::byte> bytes,
                                               ReadNames names, const std::filesystem::path& path);

}  // namespace imgpack
