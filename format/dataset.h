// Dataset opens a folder of shards for planning and training with two small reads: manifest and dataset-level index.
//
//   manifest.json + index.ipx  ->  Dataset  ->  SplitView: columns of all shards of a split in global record order
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "format/file.h"
#include "format/manifest.h"
#include "format/shard_index.h"

namespace imgpack {

// One split as one long sequence of records: shard 0's, then shard 1's, and so on.
struct SplitView {
  SplitInfo info;
  IndexColumns columns;                // Of all shards, in order.
  std::vector<uint32_t> shard;         // Of every record.
  std::vector<uint64_t> offset;        // Of every record within its shard file.
  std::vector<uint64_t> first_record;  // Of every shard, and the total: shards + 1 elements.

  uint64_t records() const { return columns.size(); }
};

class Dataset {
 public:
  // One read of the manifest, one of the index (without names: of its first part). Throws Error(kIo) where there is no
  // dataset, Error(kCorruption), Error(kUnsupportedVersion).
  static Dataset open(FileSystem& fs, const std::filesystem::path& folder, ReadNames names = ReadNames::kNo);

  const std::filesystem::path& folder() const { return folder_; }
  const Manifest& manifest() const { return manifest_; }
  bool has_split(std::string_view name) const;
  const SplitView& split(std::string_view name) const;  // Throws Error(kInvalidInput) that lists what there is.
  std::filesystem::path shard_path(std::string_view split, uint32_t shard) const;

 private:
  std::filesystem::path folder_;
  Manifest manifest_;
  std::vector<SplitView> splits_;
};

// The columns of a split's shards in order.
struct SplitColumns {
  std::string split;
  std::vector<IndexColumns> shards;
};
inline constexpr const char* kDatasetIndexFile = "index.ipx";
// Writes the dataset-level index, and into the manifest what it says of that file.
void publish_dataset_index(FileSystem& fs, const std::filesystem::path& folder, const std::vector<SplitColumns>& splits,
                           Manifest& manifest);
// For it: every shard's own index, read back from the disk by as many threads as TBB has. Throws Error(kCorruption),
// Error(kIo).
std::vector<SplitColumns> read_shard_columns(FileSystem& fs, const std::filesystem::path& folder,
                                             const Manifest& manifest);

}  // namespace imgpack
