#include "format/ingest/source.h"

#include <algorithm>

namespace imgpack::ingest {

size_t SourceSplit::flat_images() const {
  return static_cast<size_t>(
      std::count_if(images.begin(), images.end(), [](const SourceImage& image) { return image.class_bytes == 0; }));
}

std::string_view kind_name(SourceKind kind) {
  switch (kind) {
    case SourceKind::kKaggle:
      return "kaggle";
    case SourceKind::kSplitFolders:
      return "split-folders";
    case SourceKind::kClassFolders:
      return "class-folders";
    case SourceKind::kList:
      return "list";
  }
  return "unknown";
}

const SourceSplit* SourceScan::find(std::string_view split) const {
  const auto at = std::find_if(splits.begin(), splits.end(), [&](const SourceSplit& s) { return s.name == split; });
  return at == splits.end() ? nullptr : &*at;
}

}  // namespace imgpack::ingest
