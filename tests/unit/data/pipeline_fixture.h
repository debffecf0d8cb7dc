// Verbs for tests that run a BatchPipeline over a PhotoDataset.
#pragma once

#include <map>
#include <vector>

#include "engine/data/batch_pipeline.h"
#include "tests/unit/data/photo_dataset.h"

namespace imgtrain::data {

// A delivered batch, copied out of its slot.
struct Delivered {
  uint64_t index = 0;
  uint32_t global_count = 0;
  std::vector<uint64_t> ids;
  std::vector<int64_t> labels;
  std::vector<uint8_t> images;
  bool operator==(const Delivered&) const = default;
};

inline Delivered copy_of(const Batch& batch) {
  const size_t image_bytes = size_t{batch.size} * batch.size * 3;
  return {batch.index,
          batch.global_count,
          {batch.ids, batch.ids + batch.count},
          {batch.labels, batch.labels + batch.count},
          {batch.images, batch.images + batch.count * image_bytes}};
}

// What next() gives until the epoch is over.
inline std::vector<Delivered> drain(BatchPipeline& pipeline) {
  std::vector<Delivered> all;
  while (auto batch = pipeline.next()) all.push_back(copy_of(*batch));
  return all;
}

inline std::vector<Delivered> run_epoch(BatchPipeline& pipeline, uint64_t epoch = 0, uint64_t first_batch = 0) {
  pipeline.start_epoch(epoch, first_batch);
  return drain(pipeline);
}

// Small images, many blocks.
inline PipelineOptions small_pipeline() {
  PipelineOptions options;
  options.size = 16;
  options.resize_short = 20;
  options.seed = 3;
  options.threads = 2;
  options.order.seed = 4;
  options.order.batch = 32;
  options.order.block_bytes = 8 << 10;
  options.order.partitions = 6;
  return options;
}

// The batches of all ranks put together, as one rank would have delivered them.
inline std::vector<Delivered> joined(const std::vector<std::vector<Delivered>>& ranks) {
  std::vector<Delivered> all = ranks.at(0);
  for (size_t r = 1; r < ranks.size(); ++r) {
    for (size_t b = 0; b < all.size(); ++b) {
      const Delivered& part = ranks[r].at(b);
      all[b].ids.insert(all[b].ids.end(), part.ids.begin(), part.ids.end());
      all[b].labels.insert(all[b].labels.end(), part.labels.begin(), part.labels.end());
      all[b].images.insert(all[b].images.end(), part.images.begin(), part.images.end());
    }
  }
  return all;
}

}  // namespace imgtrain::data
