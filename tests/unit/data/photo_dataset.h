// A dataset of small real JPEGs in a file system in memory, for tests that decode.
#pragma once

#include <cstdint>
#include <vector>

#include "format/dataset.h"
#include "tests/support/memory_file_system.h"

namespace imgtrain::data {

// Smooth colours that depend on `seed`, so that no two images are alike.
std::vector<std::byte> make_photo(int width, int height, uint32_t seed);

struct PhotoDataset {
  struct Options {
    uint32_t train = 300, val = 50;
    uint32_t shards = 3;
  };
  explicit PhotoDataset(const Options& options);
  PhotoDataset() : PhotoDataset(Options{}) {}

  imgpack::Dataset open(imgpack::ReadNames names = imgpack::ReadNames::kNo) {
    return imgpack::Dataset::open(fs, folder, names);
  }

  imgpack::test::MemoryFileSystem fs;
  const std::filesystem::path folder = "/photos.shards";
};

}  // namespace imgtrain::data
