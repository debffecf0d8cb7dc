// Packs the shards of one split that are not finished yet: many images in parallel, committed in plan order.
//
//   plan positions -> read + normalise (TBB, admitted by bytes) -> ShardWriter -> on_shard (in order)
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <vector>

#include "format/file.h"
#include "format/ingest/build_state.h"
#include "format/ingest/labeling.h"
#include "format/ingest/pack_plan.h"
#include "format/ingest/source.h"

namespace imgpack::ingest {

struct PackJob {
  FileSystem& fs;
  ImageReader& reader;
  const SourceSplit& source;
  const LabeledSplit& labels;
  const PlannedSplit& plan;
  const PackOptions& options;
  uint64_t plan_id = 0;
  std::filesystem::path out;
};

struct PackCallbacks {
  std::function<void(const FinishedShard&)> on_shard;   // The shard is published. Called in the order of the numbers.
  std::function<void(const SkippedSource&)> on_skip;    // In plan order. May throw to end the job.
  std::function<void(uint64_t source_bytes)> on_image;  // One more image is through.
};

// Packs the shards `numbers`, ascending. Throws what reading, writing or a callback throws; a shard in progress is then
// gone, published ones stay. Returns early once `stop` is set: the caller looks at it.
void pack_shards(const PackJob& job, const std::vector<uint32_t>& numbers, const PackCallbacks& callbacks,
                 const std::atomic<bool>& stop);

}  // namespace imgpack::ingest
