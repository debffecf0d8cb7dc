// A small synthetic image set in the exact layout of the Kaggle download, for demos and tests.
//
//   OUT/ILSVRC/{Data,Annotations,ImageSets}/CLS-LOC/…   OUT/LOC_*.csv   OUT/LOC_synset_mapping.txt   OUT/sample.json
//
// Class folders are called n90000001, n90000002, …: they look like WNIDs and can never be one (WordNet's noun offsets
// end below 16,000,000), so no tool mistakes a class of stripes for a fish.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "format/file.h"

namespace imgpack::ingest {

struct SampleOptions {
  uint32_t classes = 12;  // 2 to kSampleTextures.
  uint32_t train = 1800;  // Images, spread evenly over the classes.
  uint32_t val = 360;
  uint32_t test = 60;
  uint32_t size = 120;  // Typical long side, in pixels; it varies by a third.
  uint64_t seed = 0;
  bool odd = true;       // One training image of each odd kind: see odd_images.
  uint32_t damaged = 0;  // Training images that cannot be packed, of up to 3 kinds: cut off, text, empty.
};

struct SampleReport {
  bool already_there = false;
  uint64_t images = 0;
  uint64_t bytes = 0;
  std::map<std::string, std::string> odd_images;  // Path below `out` -> what is odd about it.
};

// Makes the set beside `out` and renames it, so that `out` is whole or absent. A set with the same options is left
// alone. Throws Error(kUsage) for options out of range, Error(kInvalidInput) where `out` is something else, Error(kIo).
SampleReport write_sample_set(FileSystem& fs, const std::filesystem::path& out, const SampleOptions& options);

}  // namespace imgpack::ingest
