// What differs between two datasets, by content: records, labels and images, whatever their shards look like.
//
//   dataset ids equal                -> nothing differs, nothing more is read
//   else, records paired by sample id (split and name): labels by WNID from the indexes, images by the checksums in
//   the record headers, which are read only where the indexes do not settle it
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "format/dataset.h"
#include "format/file.h"

namespace imgpack {

enum class DifferenceKind {
  kOnlyInFirst,
  kOnlyInSecond,
  kLabel,  // The class, by its WNID.
  kImage,  // The image's bytes.
};
const char* to_string(DifferenceKind kind);  // `only_in_first`, …

struct Difference {
  DifferenceKind kind = DifferenceKind::kImage;
  std::string split;
  std::string name;
  std::string first, second;  // What each has; empty where that says nothing.
};

struct DiffOptions {
  uint64_t max_listed = 100'000;    // Differences that are listed one by one; the rest are counted.
  std::function<void()> on_record;  // Called now and then; may throw to stop.
};

struct DatasetDiff {
  std::string first_id, second_id;   // Dataset ids.
  std::vector<std::string> facts;    // Of the datasets as a whole: classes, splits, seeds.
  std::vector<std::string> options;  // Packing options that differ, which is no difference of content by itself.
  uint64_t only_in_first = 0, only_in_second = 0, labels = 0, images = 0, same = 0;
  std::vector<Difference> differences;  // In the order of splits and of the first's records, then the second's.
  bool same_content() const { return facts.empty() && only_in_first + only_in_second + labels + images == 0; }
};

// Memory: both dataset indexes and 24 bytes per record. REQUIRES: both were opened with names. Throws
// Error(kCorruption) for a record header that is damaged, Error(kIo).
DatasetDiff diff_datasets(FileSystem& fs, const Dataset& first, const Dataset& second, const DiffOptions& options = {});

std::string to_text(const Difference& difference);
std::string to_json(const DatasetDiff& diff);  // One object; ends in a newline.

}  // namespace imgpack
