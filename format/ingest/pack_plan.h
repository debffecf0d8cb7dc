// Which image goes into which shard at which place: a pure function of names, sizes, labels and options.
//
//   LabeledSource -> PackPlan: per split the images in order_key order, cut into shards of equal ranges of the key
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "format/ingest/image_normaliser.h"
#include "format/ingest/labeling.h"

namespace imgpack::ingest {

inline constexpr uint64_t kDefaultShardBytes = 512ull << 20;
inline constexpr uint32_t kMaxShards = 65536;

// Everything that has a say in the bytes of a dataset.
struct PackOptions {
  uint64_t seed = 0;                                 // Of the record order.
  uint64_t shard_bytes = kDefaultShardBytes;         // Target: source bytes per shard are at most this.
  std::map<std::string, uint32_t> shard_count = {};  // Fixed number by split; "" stands for every split.
  NormaliseOptions normalise = {};
  double reencode_probability = 0;  // Share of the images that are encoded again, chosen by sample id and seed.
};

// The normalise options of one image.
NormaliseOptions options_for(const PackOptions& options, uint64_t sample_id);

// As text, for the manifest, the build state and the list of differences between two builds. One row per option.
std::map<std::string, std::string> option_texts(const PackOptions& options);

// `16`, `row` or `none`: NormaliseOptions::entropy_index_mcus as people write it.
std::string entropy_index_name(int mcus);

// The inverse, for repairing what was packed by them. Throws Error(kInvalidInput) naming a row that is missing or that
// this version does not know.
PackOptions parse_option_texts(const std::map<std::string, std::string>& texts);

struct PlannedImage {
  uint64_t key = 0;    // order_key()
  uint32_t image = 0;  // Position in the source split's images.
};

struct PlannedSplit {
  std::string name;
  uint64_t source_bytes = 0;
  std::vector<PlannedImage> order;  // Ascending by (key, name).
  std::vector<uint32_t> first;      // Of every shard its first position in `order`, and order.size(): shards + 1.
  uint32_t shards() const { return static_cast<uint32_t>(first.size() - 1); }
};

struct PackPlan {
  uint64_t plan_id = 0;              // Digest of names, sizes, labels, classes and options.
  std::vector<PlannedSplit> splits;  // Parallel to those of the source.

  uint64_t images() const;
  uint64_t source_bytes() const;
};

// The smallest power of two that brings `source_bytes` to at most `target_bytes` per shard; never more shards than
// images, at most kMaxShards.
uint32_t shard_count_for(uint64_t source_bytes, uint64_t images, uint64_t target_bytes);

// Throws Error(kUsage) for options out of range.
PackPlan make_plan(const LabeledSource& source, const PackOptions& options);

}  // namespace imgpack::ingest
