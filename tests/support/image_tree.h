// Trees of images in memory, built from verbs:
//
//   ImageTree tree;
//   tree.images("train/cat", 3).images("val/dog", 1).text("LOC_val_solution.csv", "…");
#pragma once

#include <string>

#include "tests/support/memory_file_system.h"

namespace imgpack::test {

inline constexpr const char* kTreeRoot = "/source";

class ImageTree {
 public:
  ImageTree() { fs.make_directories(kTreeRoot); }

  // FOLDER/FOLDERNAME_0.JPEG, _1, …: small real JPEGs, no two alike.
  ImageTree& images(const std::string& folder, int count);
  ImageTree& image(const std::string& file);
  // FOLDER/ILSVRC2012_val_00000001.JPEG, …
  ImageTree& ilsvrc_images(const std::string& folder, const std::string& split, int first, int last);
  ImageTree& text(const std::string& file, const std::string& text);
  ImageTree& folder(const std::string& folder);

  MemoryFileSystem fs;

 private:
  uint32_t made_ = 0;
};

}  // namespace imgpack::test
