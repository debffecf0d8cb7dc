#include "tests/support/image_tree.h"

#include <cstdio>
#include <filesystem>

#include "tests/support/test_jpegs.h"

namespace imgpack::test {

ImageTree& ImageTree::image(const std::string& file) {
  const auto bytes = make_test_jpeg({.width = 16 + made_ % 5, .height = 12, .seed = made_ + 1});
  ++made_;
  return text(file, std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

ImageTree& ImageTree::images(const std::string& folder, int count) {
  const std::string stem = std::filesystem::path(folder).filename();
  for (int i = 0; i < count; ++i) image(folder + "/" + stem + "_" + std::to_string(i) + ".JPEG");
  return *this;
}

ImageTree& ImageTree::ilsvrc_images(const std::string& folder, const std::string& split, int first, int last) {
  for (int number = first; number <= last; ++number) {
    char name[64];
    std::snprintf(name, sizeof name, "ILSVRC2012_%s_%08d.JPEG", split.c_str(), number);
    image(folder + "/" + name);
  }
  return *this;
}

ImageTree& ImageTree::text(const std::string& file, const std::string& text) {
  fs.set_bytes(std::filesystem::path(kTreeRoot) / file, text);
  return *this;
}

ImageTree& ImageTree::folder(const std::string& folder) {
  fs.make_directories(std::filesystem::path(kTreeRoot) / folder);
  return *this;
}

}  // namespace imgpack::test
