// A split that exists as columns only: what planning sees of a data set, with no shard behind it.
#pragma once

#include <cmath>
#include <cstdint>

#include "engine/data/random_key.h"
#include "format/dataset.h"

namespace imgtrain::data {

struct SyntheticSplit {
  uint64_t records = 1000;
  double mean_bytes = 110e3;  // Log-normal around it, as photographs are; 0: all of one byte.
  uint32_t classes = 1000;
  uint64_t shard_bytes = 512ull << 20;
};

inline imgpack::SplitView make_split(const SyntheticSplit& wanted) {
  imgpack::SplitView split;
  split.info.name = "train";
  split.info.records = wanted.records;
  split.first_record.push_back(0);
  constexpr uint64_t kHeaderBytes = 4096;
  uint64_t offset = kHeaderBytes;
  uint32_t shard = 0;
  KeyedRandom random(1, Purpose::kUser, wanted.records);
  for (uint64_t i = 0; i < wanted.records; ++i) {
    const double normal = std::sqrt(-2 * std::log(1 - random.uniform())) * std::cos(2 * M_PI * random.uniform());
    const double bytes = wanted.mean_bytes * std::exp(0.45 * normal - 0.45 * 0.45 / 2);
    const auto size = static_cast<uint32_t>(std::max(1.0, bytes));
    if (offset > wanted.shard_bytes) {
      split.first_record.push_back(i);
      offset = kHeaderBytes;
      ++shard;
    }
    split.shard.push_back(shard);
    split.offset.push_back(offset);
    split.columns.id.push_back(random.next_u32() | uint64_t{random.next_u32()} << 32);
    split.columns.record_bytes.push_back(size);
    split.columns.image_bytes.push_back(size);
    split.columns.entropy_bytes.push_back(0);
    split.columns.label.push_back(static_cast<int32_t>(random.below(wanted.classes)));
    split.columns.width.push_back(500);
    split.columns.height.push_back(375);
    split.columns.flags.push_back(0);
    offset += size;
  }
  split.first_record.push_back(wanted.records);
  split.info.shards.resize(split.first_record.size() - 1);
  return split;
}

}  // namespace imgtrain::data
