#include "engine/data/sample_order.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "format/error.h"

namespace imgtrain::data {
namespace {

using imgpack::Error;
using imgpack::ErrorKind;

uint64_t total_bytes(const imgpack::SplitView& split) {
  return std::accumulate(split.columns.record_bytes.begin(), split.columns.record_bytes.end(), uint64_t{0});
}

void require(bool holds, const char* what, uint64_t found) {
  if (!holds) throw Error(ErrorKind::kUsage, std::string(what) + ", found " + std::to_string(found));
}

SampleOrderOptions checked(SampleOrderOptions options) {
  constexpr uint32_t kMaxBatch = 1u << 24, kMaxPartitions = 1u << 16, kMaxWindow = 1u << 10, kMaxRepeats = 1u << 10;
  require(options.batch > 0 && options.batch <= kMaxBatch, "batch size out of range: expected 1 to 16777216",
          options.batch);
  require(options.partitions > 0 && options.partitions <= kMaxPartitions,
          "number of partitions out of range: expected 1 to 65536", options.partitions);
  require(options.block_bytes > 0 && options.block_bytes <= uint64_t{1} << 30,
          "block size out of range: expected 1 byte to 1 GiB", options.block_bytes);
  require(options.window_blocks > 0 && options.window_blocks <= kMaxWindow,
          "window out of range: expected 1 to 1024 blocks", options.window_blocks);
  require(options.repeats > 0 && options.repeats <= kMaxRepeats, "number of repeats out of range: expected 1 to 1024",
          options.repeats);
  if (!options.shuffle) {
    options.partitions = 1;
    options.window_blocks = 1;
  }
  return options;
}

}  // namespace

SampleOrder::SampleOrder(const imgpack::SplitView& split, const SampleOrderOptions& options)
    : options_(checked(options)),
      plan_(plan_blocks(split,
                        effective_partitions(split.records(), total_bytes(split), options_.partitions,
                                             options_.block_bytes * options_.window_blocks),
                        options_.block_bytes)),
      rotation_(partition_rotation(plan_.partitions())) {}

uint32_t SampleOrder::partitions() const {
  return plan_.partitions();
}

uint64_t SampleOrder::batches_per_epoch() const {
  const uint64_t samples = plan_.records();
  if (samples == 0) return 0;
  const uint64_t whole = samples / options_.batch;
  if (options_.drop_last) return std::max<uint64_t>(whole, 1);
  return whole + (samples % options_.batch != 0);
}

uint64_t SampleOrder::samples_per_epoch() const {
  return std::min(plan_.records(), batches_per_epoch() * options_.batch);
}

EpochOrder SampleOrder::epoch(uint64_t epoch) const {
  EpochOrderOptions options;
  options.seed = options_.seed;
  options.epoch = epoch;
  options.window_blocks = options_.window_blocks;
  options.repeats = options_.repeats;
  options.shuffle = options_.shuffle;
  return EpochOrder(plan_, rotation_, options);
}

BatchRange SampleOrder::batch_range(uint64_t batch) const {
  const uint64_t first = batch * options_.batch;
  return {first, std::min(samples_per_epoch(), first + options_.batch)};
}

std::vector<SampleRef> SampleOrder::global_batch(uint64_t epoch_number, uint64_t batch) const {
  const BatchRange range = batch_range(batch);
  WindowCache cache;
  std::vector<SampleRef> result;
  for (const OrderedSample& sample : epoch(epoch_number).samples(range.first, range.last, cache))
    result.push_back({sample.record, sample.repeat});
  return result;
}

LocalRange local_range(uint32_t batch, uint32_t group, uint32_t rank, uint32_t world) {
  group = std::max(group, 1u);
  const uint64_t groups = (uint64_t{batch} + group - 1) / group;
  const auto cut = [&](uint64_t r) {
    if (groups < world) return static_cast<uint32_t>(batch * r / world);
    return static_cast<uint32_t>(std::min<uint64_t>(batch, groups * r / world * group));
  };
  return {cut(rank), cut(uint64_t{rank} + 1)};
}

}  // namespace imgtrain::data
