// What is in a dataset, from its manifest and index alone: nothing is read from the shards.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "format/dataset.h"

namespace imgpack {

// Five numbers that describe a column; all 0 for an empty one.
struct Spread {
  uint64_t least = 0, median = 0, p95 = 0, most = 0;
  double mean = 0;
};

struct SplitSummary {
  std::string name;
  bool labeled = true;
  uint64_t records = 0, shards = 0;
  uint64_t bytes = 0;          // Of the shard files.
  uint64_t image_bytes = 0;    // Of the image sections.
  uint64_t entropy_bytes = 0;  // Of the entropy index sections.
  uint64_t index_bytes = 0;    // Of the shards' own indexes and footers.
  uint64_t with_entropy_index = 0;
  uint64_t classes_without_records = 0;
  Spread image_size, width, height, pixels, per_class;
  std::map<std::string, uint64_t> flags;  // Name of the flag -> records that have it.
};

struct DatasetSummary {
  std::filesystem::path folder;
  Manifest manifest;
  std::vector<SplitSummary> splits;
};

DatasetSummary summarize(const Dataset& dataset);

std::string to_text(const DatasetSummary& summary);  // For people; ends in a newline.
std::string to_json(const DatasetSummary& summary);  // One object; ends in a newline.

// `gray`, `progressive`, … in the order of the bits; nullptr for bits that this version does not know.
const char* record_flag_name(unsigned bit);

}  // namespace imgpack
