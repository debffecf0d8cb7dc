#include "format/ingest/finish_dataset.h"

#include <tbb/parallel_for.h>

#include "format/dataset.h"
#include "format/dataset_index.h"
#include "format/error.h"
#include "format/shard_reader.h"

namespace imgpack::ingest {
namespace {

using std::filesystem::path;

// Read back from what lies on the disk, whichever run wrote it.
IndexFileSummary publish_index(FileSystem& fs, const path& out, const DatasetFrame& frame) {
  std::vector<SplitColumns> splits;
  for (size_t s = 0; s < frame.shards.size(); ++s) {
    const std::string& name = frame.manifest.splits[s].name;
    SplitColumns columns{name, std::vector<IndexColumns>(frame.shards[s])};
    tbb::parallel_for(uint32_t{0}, frame.shards[s], [&](uint32_t number) {
      columns.shards[number] = ShardReader(fs, out / shard_file_name(name, number)).columns();
    });
    splits.push_back(std::move(columns));
  }
  return publish_dataset_index(fs, out, splits);
}

}  // namespace

Manifest manifest_so_far(const DatasetFrame& frame, const BuildState& finished) {
  Manifest manifest = frame.manifest;
  for (size_t s = 0; s < manifest.splits.size(); ++s) {
    SplitInfo& split = manifest.splits[s];
    for (uint32_t number = 0; number < frame.shards[s]; ++number) {
      const FinishedShard* shard = finished.find(split.name, number);
      if (shard == nullptr) continue;
      split.records += shard->summary.records;
      split.shards.push_back(shard->summary);
      manifest.skipped.insert(manifest.skipped.end(), shard->skipped.begin(), shard->skipped.end());
    }
  }
  return manifest;
}

Manifest finish_dataset(FileSystem& fs, const path& out, DatasetFrame frame, const BuildState& finished) {
  Manifest manifest = manifest_so_far(frame, finished);
  for (size_t s = 0; s < manifest.splits.size(); ++s) {
    const SplitInfo& split = manifest.splits[s];
    if (split.shards.size() != frame.shards[s]) throw Error(ErrorKind::kInternal, "a shard was never packed", out);
    if (split.records == 0) {
      throw Error(ErrorKind::kInvalidInput, "no image of " + split.name + " could be packed: see the reasons above",
                  out);
    }
  }
  const IndexFileSummary index = publish_index(fs, out, frame);
  manifest.index_file = index.file;
  manifest.index_bytes = index.bytes;
  manifest.index_plan_bytes = index.plan_bytes;
  manifest.index_digest = index.digest;
  manifest.dataset_id = compute_dataset_id(manifest);
  publish_manifest(fs, out, manifest);
  fs.remove(out / kBuildStateFile);
  fs.sync_directory(out);
  return manifest;
}

}  // namespace imgpack::ingest
