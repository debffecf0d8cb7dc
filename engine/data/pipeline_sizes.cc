#include "engine/data/pipeline_sizes.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <thread>

#include "engine/data/batch_planner.h"
#include "engine/data/block_buffers.h"
#include "format/error.h"

namespace imgtrain::data {

using imgpack::Error;
using imgpack::ErrorKind;

PipelineOptions checked(PipelineOptions options) {
  const auto require = [](bool holds, const char* what, uint64_t found) {
    if (!holds) throw Error(ErrorKind::kUsage, std::string(what) + ", found " + std::to_string(found));
  };
  constexpr uint32_t kMaxSize = 8192, kMaxThreads = 1024, kMaxSlots = 1024;
  require(options.size > 0 && options.size <= kMaxSize, "image size out of range: expected 1 to 8192", options.size);
  require(options.threads <= kMaxThreads, "number of threads out of range: expected 0 to 1024", options.threads);
  require(options.slots > 0 && options.slots <= kMaxSlots, "number of slots out of range: expected 1 to 1024",
          options.slots);
  require(options.world > 0 && options.rank < options.world, "rank out of range: expected less than the world size",
          options.rank);
  require(options.read_threads > 0 && options.read_threads <= kMaxThreads,
          "number of reading threads out of range: expected 1 to 1024", options.read_threads);
  check(options.crop);
  if (options.transform == Transform::kEvaluate) {
    require(options.crop_ratio > 0 || options.resize_short >= options.size,
            "resize smaller than the crop: expected at least the image size", options.resize_short);
    options.order.shuffle = false;
    options.order.drop_last = false;
    options.order.repeats = 1;
  }
  if (options.threads == 0) options.threads = std::max(1u, std::thread::hardware_concurrency());
  return options;
}

uint64_t shard_bytes(const imgpack::SplitView& split) {
  uint64_t bytes = 0;
  for (const imgpack::ShardSummary& shard : split.info.shards) bytes += shard.bytes;
  return bytes;
}

uint64_t usual_block_bytes(const imgpack::SplitView& split, const PipelineOptions& options) {
  const auto& sizes = split.columns.record_bytes;
  const uint64_t mean_record =
      sizes.empty() ? 0 : std::accumulate(sizes.begin(), sizes.end(), uint64_t{0}) / split.records();
  return BlockBuffers::capacity_for(options.order.block_bytes + std::min<uint64_t>(mean_record, 1u << 20));
}

uint64_t block_budget(const imgpack::SplitView& split, const SampleOrder& order, const PipelineOptions& options) {
  const BlockPlan& plan = order.plan();
  if (plan.blocks.empty()) return options.read_ahead_bytes;
  const uint64_t block = usual_block_bytes(split, options);
  const uint64_t partitions = std::min<uint64_t>(plan.partitions(), plan.partitions() / options.world + 2);
  const uint64_t blocks = std::min<uint64_t>(plan.blocks.size(), partitions * options.order.window_blocks);
  return blocks * block + std::max<uint64_t>(options.read_ahead_bytes, block);
}

std::vector<uint32_t> shards_of_rank(const imgpack::SplitView& split, const SampleOrder& order,
                                     const PipelineOptions& options) {
  const BlockPlan& plan = order.plan();
  std::vector<uint32_t> shards;
  if (plan.records() == 0) return shards;
  uint64_t first = 0, last = plan.records();
  if (options.order.shuffle) {
    const uint64_t parts = plan.partitions();
    first = plan.first_record[parts * options.rank / options.world];
    last = plan.first_record[(parts * (options.rank + 1) + options.world - 1) / options.world];
  }
  for (uint32_t shard = split.shard[first]; shard <= split.shard[last - 1]; ++shard) shards.push_back(shard);
  return shards;
}

uint32_t largest_share(const SampleOrder& order, const PipelineOptions& options) {
  uint32_t largest = 1;
  const uint64_t batches = order.batches_per_epoch();
  for (const uint64_t batch : {uint64_t{0}, batches - 1}) {
    if (batches == 0) break;
    const BatchRange range = order.batch_range(batch);
    const LocalRange local =
        local_range(static_cast<uint32_t>(range.last - range.first), options.bn_group, options.rank, options.world);
    largest = std::max(largest, local.end - local.begin);
  }
  return largest;
}

}  // namespace imgtrain::data
