#include "engine/data/batch_planner.h"

#include <xxhash.h>

#include <algorithm>

namespace imgtrain::data {
namespace {

// Reading this much that nobody wants costs less than another request: a gp3 volume counts requests of up to 256 KiB.
constexpr uint64_t kGapBytes = uint64_t{256} << 10;

}  // namespace

uint64_t chain_digest(uint64_t before, uint64_t batch_digest) {
  const uint64_t link[2] = {before, batch_digest};
  return XXH3_64bits(link, sizeof link);
}

BatchPlanner::BatchPlanner(const imgpack::SplitView& split, const SampleOrder& order, const RankShare& share,
                           uint64_t epoch, uint64_t first_batch)
    : split_(split), order_(order), share_(share), epoch_(order.epoch(epoch)), next_batch_(first_batch) {}

// Whether any batch from the next one on gives the record at this place to this rank.
bool BatchPlanner::needed_here(uint32_t partition, uint64_t place) const {
  const uint64_t from = order_.batch_range(next_batch_).first;
  const uint64_t begin = std::max(epoch_.occurrence(partition, place), from);
  const uint64_t end = std::min(epoch_.occurrence(partition, place) + order_.repeats(), order_.samples_per_epoch());
  // Repeats of an image lie all over the batch: each rank reads it, whether or not it has one of them.
  if (order_.repeats() > 1) return begin < end;
  for (uint64_t sample = begin; sample < end;) {
    const uint64_t batch = sample / order_.batch();
    const BatchRange range = order_.batch_range(batch);
    const EpochOrder::Span span = epoch_.span_in_batch(partition, place, range.first, range.last);
    const LocalRange local =
        local_range(static_cast<uint32_t>(range.last - range.first), share_.bn_group, share_.rank, share_.world);
    if (span.begin < local.end && span.end > local.begin) return true;
    sample = range.last;
  }
  return false;
}

std::shared_ptr<BlockUse> BatchPlanner::use(uint32_t block, uint32_t partition) {
  const auto found = live_.find(block);
  if (found != live_.end()) return found->second.use;

  const Block& plan = order_.plan().blocks[block];
  const std::vector<uint64_t> places = epoch_.places(block);
  auto use = std::make_shared<BlockUse>();
  use->first_record = plan.first_record;
  use->request.shard = split_.shard[plan.first_record];
  use->at.resize(plan.records);
  std::vector<BlockExtent>& extents = use->request.extents;
  for (uint32_t i = 0; i < plan.records; ++i) {
    if (!needed_here(partition, places[i])) continue;
    const uint64_t offset = split_.offset[plan.first_record + i],
                   bytes = split_.columns.record_bytes[plan.first_record + i];
    if (extents.empty() || offset - (extents.back().offset + extents.back().bytes) > kGapBytes)
      extents.push_back({offset, 0, use->request.bytes()});
    BlockExtent& extent = extents.back();
    use->at[i] = extent.at + (offset - extent.offset);
    extent.bytes = offset + bytes - extent.offset;
  }
  const uint64_t last_sample = epoch_.occurrence(partition, epoch_.end_place(block) - 1) + order_.repeats() - 1;
  live_.emplace(block, Live{use, last_sample});
  return use;
}

std::optional<PlannedBatch> BatchPlanner::next() {
  if (next_batch_ >= order_.batches_per_epoch()) return std::nullopt;
  const BatchRange range = order_.batch_range(next_batch_);
  const std::vector<OrderedSample> global = epoch_.samples(range.first, range.last, cache_);

  PlannedBatch batch;
  batch.index = next_batch_;
  batch.global_count = static_cast<uint32_t>(global.size());
  std::vector<uint64_t> proof;
  proof.reserve(2 * global.size());
  for (const OrderedSample& sample : global) {
    proof.push_back(split_.columns.id[sample.record]);
    proof.push_back(static_cast<uint64_t>(int64_t{split_.columns.label[sample.record]}));
  }
  batch.digest = XXH3_64bits(proof.data(), proof.size() * sizeof(uint64_t));

  const LocalRange local = local_range(batch.global_count, share_.bn_group, share_.rank, share_.world);
  batch.first = local.begin;
  batch.samples.reserve(local.end - local.begin);
  for (uint32_t i = local.begin; i < local.end; ++i)
    batch.samples.push_back({global[i].record, global[i].repeat, use(global[i].block, global[i].partition)});
  std::erase_if(live_, [&](const auto& entry) { return entry.second.last_sample < range.last; });
  ++next_batch_;
  return batch;
}

}  // namespace imgtrain::data
