// What a source of raw images holds, before anything is packed.
//
//   folder ----scan_folder()----> SourceScan --labels--> LabeledSplit[] --plan--> PackPlan --> builder
//   archive --stream, spill-----> SourceScan      (labels.h)          (pack_plan.h)        (builder.h)
//
// Nothing here depends on the order in which files were discovered: images are sorted by canonical name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "format/manifest.h"
#include "format/record.h"

namespace imgpack::ingest {

// One file that looks like an image. 1.43 million of these are held at once, so it is one string and three numbers.
struct SourceImage {
  std::string path;          // Relative to the split's folder: `n01440764/n01440764_10026.JPEG`.
  uint16_t name_begin = 0;   // The canonical name is path from here on.
  uint16_t class_bytes = 0;  // The class folder is the first so many bytes of path; 0: the image lies flat.
  uint64_t bytes = 0;        // Of the file.

  std::string_view name() const { return std::string_view(path).substr(name_begin); }
  std::string_view class_folder() const { return std::string_view(path).substr(0, class_bytes); }
};

// A larger file is not taken for an image.
inline constexpr uint64_t kMaxImageBytes = 1ull << 30;
inline constexpr size_t kMaxPathBytes = 4096;  // Of an image in its split's folder, and of an entry of an archive.

// One split of the source: `train`, `val` or `test`.
struct SourceSplit {
  std::string name;
  std::string folder;                      // Relative to the source's root: `ILSVRC/Data/CLS-LOC/train`, or empty.
  std::vector<SourceImage> images;         // Sorted by canonical name; no two have the same.
  std::vector<std::string> class_folders;  // Sorted; also those that hold no image.
  uint64_t bytes = 0;                      // Of all images.

  size_t flat_images() const;  // That lie in no class folder.
};

enum class SourceKind {
  kKaggle,        // ILSVRC/Data/CLS-LOC/{train,val,test}: the Kaggle download and the torrent.
  kSplitFolders,  // {train,val,test}
  kClassFolders,  // Class folders alone: one split, `train`.
  kList,          // A CSV or TSV list of files and labels.
};
std::string_view kind_name(SourceKind kind);  // `kaggle`, `split-folders`, `class-folders`, `list`

struct SourceScan {
  SourceKind kind = SourceKind::kClassFolders;
  std::string description;          // For people: `Kaggle or torrent tree (ILSVRC/Data/CLS-LOC)`.
  std::filesystem::path root;       // What paths are relative to.
  std::vector<SourceSplit> splits;  // In the order train, val, test; only those that are there.
  // Where label files of the layout may lie, nearest first (LOC_val_solution.csv, Annotations/, ImageSets/).
  std::vector<std::filesystem::path> label_folders;
  uint64_t ignored_files = 0;                 // That are no images by their name.
  std::vector<std::string> ignored_examples;  // A few of them.
  std::vector<std::string> ignored_folders;   // Beside the split folders.

  const SourceSplit* find(std::string_view split) const;  // nullptr: not there.
};

// An image as it will be packed but for its label, or why it will not.
using PreparedImage = std::variant<Record, SkippedSource>;

// Reads images of a scan. Thread-safe.
class ImageReader {
 public:
  virtual ~ImageReader() = default;
  // The whole file. Throws Error(kIo).
  virtual std::vector<std::byte> read(const SourceSplit& split, const SourceImage& image) = 0;
  // Of a source whose images were prepared while it was read through; asked for instead of read(), once per image.
  // nullopt: not such a source.
  virtual std::optional<PreparedImage> prepared(const SourceSplit& /*split*/, const SourceImage& /*image*/) {
    return std::nullopt;
  }
  // What lies in the output folder already and is given back as prepared images are asked for.
  virtual uint64_t spilled_bytes() const { return 0; }
};

}  // namespace imgpack::ingest
