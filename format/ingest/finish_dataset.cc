#include "format/ingest/finish_dataset.h"

#include "format/dataset.h"
#include "format/error.h"

namespace imgpack::ingest {
using std::filesystem::path;

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
  // Read back from what lies on the disk, whichever run wrote it.
  publish_dataset_index(fs, out, read_shard_columns(fs, out, manifest), manifest);
  manifest.dataset_id = compute_dataset_id(manifest);
  publish_manifest(fs, out, manifest);
  fs.remove(out / kBuildStateFile);
  fs.sync_directory(out);
  return manifest;
}

}  // namespace imgpack::ingest
