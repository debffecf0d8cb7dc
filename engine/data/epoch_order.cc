#include "engine/data/epoch_order.h"

#include <algorithm>
#include <numeric>

#include "engine/data/random_key.h"

namespace imgtrain::data {
namespace {

// The records of a block in this epoch's order.
std::vector<uint32_t> mixed_block(const EpochOrderOptions& options, uint32_t partition, uint32_t block_in_partition,
                                  uint32_t records) {
  std::vector<uint32_t> order(records);
  std::iota(order.begin(), order.end(), 0u);
  if (options.shuffle) {
    KeyedRandom random(options.seed, Purpose::kBlockMix, options.epoch, partition, block_in_partition);
    shuffle(std::span(order), random);
  }
  return order;
}

}  // namespace

EpochOrder::EpochOrder(const BlockPlan& plan, const std::vector<uint32_t>& rotation, const EpochOrderOptions& options)
    : plan_(plan),
      options_(options),
      turn_(rotation.size()),
      sequence_(plan.blocks.size()),
      position_(plan.blocks.size()),
      partition_of_(plan.blocks.size()) {
  for (uint32_t slot = 0; slot < rotation.size(); ++slot) turn_[rotation[slot]] = slot;
  std::iota(sequence_.begin(), sequence_.end(), 0u);
  const uint64_t parts = options_.window_blocks;
  for (uint32_t p = 0; p < plan.partitions(); ++p) {
    const uint32_t first = plan.first_block[p], count = blocks_of(p);
    const auto sequence = std::span(sequence_).subspan(first, count);
    if (options_.shuffle) {
      KeyedRandom random(options_.seed, Purpose::kBlockOrder, options_.epoch, p);
      shuffle(sequence, random);
    }
    for (uint32_t i = 0; i < count; ++i) {
      position_[sequence[i]] = i;
      partition_of_[sequence[i]] = p;
    }
    first_window_.push_back(window_start_.size());
    uint64_t place = 0;
    window_start_.push_back(0);
    for (uint64_t w = 0; w < windows(p); ++w) {
      if (count <= parts) {
        place = plan.first_record[p + 1] - plan.first_record[p];
      } else {
        for (uint64_t part = 0; part < parts && part <= w; ++part) {
          if (w - part >= count) continue;
          const uint64_t records = plan.blocks[sequence[w - part]].records;
          place += part_begin(p, records, part + 1) - part_begin(p, records, part);
        }
      }
      window_start_.push_back(place);
    }
  }
}

// Where part `part` of a block begins. The first part is between 0.5 and 1.5 times an equal share, depending on the
// partition, the last one takes up the difference: so partitions come to their next block at different times.
uint64_t EpochOrder::part_begin(uint32_t partition, uint64_t records, uint64_t part) const {
  const uint64_t parts = options_.window_blocks, p = plan_.partitions();
  if (part == 0) return 0;
  if (part == parts) return records;
  return records * ((2 * part - 1) * p + 2 * turn_[partition] + 1) / (2 * p * parts);
}

uint64_t EpochOrder::windows(uint32_t partition) const {
  const uint64_t blocks = blocks_of(partition);
  if (blocks == 0) return 0;
  return blocks <= options_.window_blocks ? 1 : blocks + options_.window_blocks - 1;
}

void EpochOrder::fill(uint32_t partition, uint64_t window, WindowCache::Entry& entry) const {
  const uint32_t first = plan_.first_block[partition], count = blocks_of(partition);
  const uint64_t parts = options_.window_blocks;
  const bool whole = count <= parts;
  struct Item {
    uint64_t record;
    uint32_t block;
  };
  std::vector<Item> items;
  const uint64_t last_position = std::min<uint64_t>(whole ? count - 1 : window, count - 1);
  const uint64_t first_position = whole || window < parts ? 0 : window - parts + 1;
  for (uint64_t position = first_position; position <= last_position; ++position) {
    const uint32_t block = sequence_[first + position];
    const uint32_t records = plan_.blocks[block].records;
    const std::vector<uint32_t> order = mixed_block(options_, partition, block - first, records);
    const uint64_t part = window - position;
    const uint64_t begin = whole ? 0 : part_begin(partition, records, part);
    const uint64_t end = whole ? records : part_begin(partition, records, part + 1);
    for (uint64_t i = begin; i < end; ++i) items.push_back({plan_.blocks[block].first_record + order[i], block});
  }
  if (options_.shuffle) {
    KeyedRandom random(options_.seed, Purpose::kWindowMix, options_.epoch, partition, static_cast<uint32_t>(window));
    shuffle(std::span(items), random);
  }
  entry.window = window;
  entry.records.clear();
  entry.blocks.clear();
  for (const Item& item : items) {
    entry.records.push_back(item.record);
    entry.blocks.push_back(item.block);
  }
}

uint64_t EpochOrder::occurrences_before(uint32_t partition, uint64_t occurrence) const {
  const uint64_t slot = occurrence / options_.repeats, turn = turn_[partition], round = plan_.partitions();
  const uint64_t whole = slot > turn ? (slot - turn - 1) / round + 1 : 0;
  return whole * options_.repeats + (slot % round == turn ? occurrence % options_.repeats : 0);
}

uint64_t EpochOrder::occurrence(uint32_t partition, uint64_t place) const {
  return (place * plan_.partitions() + turn_[partition]) * options_.repeats;
}

std::vector<OrderedSample> EpochOrder::samples(uint64_t first, uint64_t last, WindowCache& cache) const {
  cache.partitions.resize(plan_.partitions());
  std::vector<OrderedSample> result;
  result.reserve(last - first);
  for (uint32_t p = 0; p < plan_.partitions(); ++p) {
    const uint64_t begin = occurrences_before(p, first), end = occurrences_before(p, last);
    if (begin == end) continue;
    WindowCache::Entry& entry = cache.partitions[p];
    const uint64_t* starts = window_start_.data() + first_window_[p];
    const uint64_t* starts_end = starts + windows(p) + 1;
    uint64_t window =
        static_cast<uint64_t>(std::upper_bound(starts, starts_end, begin / options_.repeats) - starts) - 1;
    for (uint64_t i = begin; i < end; ++i) {
      const uint64_t place = i / options_.repeats;
      while (place >= starts[window + 1]) ++window;
      if (entry.window != window) fill(p, window, entry);
      const size_t at = place - starts[window];
      result.push_back({entry.records[at], static_cast<uint32_t>(i % options_.repeats), p, entry.blocks[at]});
    }
  }
  if (options_.repeats > 1) {
    std::stable_sort(result.begin(), result.end(),
                     [](const OrderedSample& a, const OrderedSample& b) { return a.repeat < b.repeat; });
  }
  return result;
}

std::vector<uint64_t> EpochOrder::places(uint32_t block) const {
  const uint32_t partition = partition_of_[block];
  const uint64_t* starts = window_start_.data() + first_window_[partition];
  std::vector<uint64_t> result(plan_.blocks[block].records);
  const bool whole = blocks_of(partition) <= options_.window_blocks;
  const uint64_t first = whole ? 0 : position_[block], count = whole ? 1 : options_.window_blocks;
  WindowCache::Entry entry;
  for (uint64_t window = first; window < first + count; ++window) {
    fill(partition, window, entry);
    for (size_t i = 0; i < entry.records.size(); ++i) {
      if (entry.blocks[i] == block) result[entry.records[i] - plan_.blocks[block].first_record] = starts[window] + i;
    }
  }
  return result;
}

uint64_t EpochOrder::end_place(uint32_t block) const {
  const uint32_t partition = partition_of_[block];
  const uint64_t* starts = window_start_.data() + first_window_[partition];
  const bool whole = blocks_of(partition) <= options_.window_blocks;
  return starts[whole ? 1 : position_[block] + options_.window_blocks];
}

EpochOrder::Span EpochOrder::span_in_batch(uint32_t partition, uint64_t place, uint64_t first, uint64_t last) const {
  const uint64_t begin = std::max(occurrence(partition, place), first);
  const uint64_t end = std::min(occurrence(partition, place) + options_.repeats, last);
  if (begin >= end) return {};
  uint64_t before = 0;
  for (uint32_t p = 0; p < partition; ++p) before += occurrences_before(p, last) - occurrences_before(p, first);
  const uint64_t at = before + occurrences_before(partition, begin) - occurrences_before(partition, first);
  return {at, at + (end - begin)};
}

}  // namespace imgtrain::data
