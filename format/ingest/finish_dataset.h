// The last step of every way to a dataset: all shards are there, the index and the manifest are not.
//
//   DatasetFrame + finished shards -> dataset index -> manifest.json (last) -> build.json removed
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "format/file.h"
#include "format/ingest/build_state.h"
#include "format/manifest.h"

namespace imgpack::ingest {

// What is known of a dataset before its shards are packed.
struct DatasetFrame {
  Manifest manifest;             // Without shards, records, skipped images, index and id.
  std::vector<uint32_t> shards;  // Of every split of the manifest.
};

// `finished` has every shard, and all lie in `out`. Reads each shard's index back from the disk, whoever wrote it.
// Throws Error(kInvalidInput) for a split without a record, Error(kCorruption), Error(kIo).
Manifest finish_dataset(FileSystem& fs, const std::filesystem::path& out, DatasetFrame frame,
                        const BuildState& finished);

// The frame with the shards that are finished so far, for reports.
Manifest manifest_so_far(const DatasetFrame& frame, const BuildState& finished);

}  // namespace imgpack::ingest
