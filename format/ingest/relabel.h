// What "valprep" does, for users of other tools: images in class folders, or a table of their classes.
//
//   LabeledSource --> OUT/val/n01751748/ILSVRC2012_val_00000001.JPEG …   links or copies, all at once or not at all
//                 --> image,wnid,label rows                              a CSV that --labels reads back
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "format/file.h"
#include "format/ingest/labeling.h"
#include "format/ingest/source.h"

namespace imgpack::ingest {

enum class RelabelMode { kHardLink, kSymbolicLink, kCopy };

struct RelabelReport {
  bool already_there = false;  // The same tree was made before.
  uint64_t images = 0;
  uint64_t classes = 0;  // Folders that were made.
};

// Where an image lies in the tree, below its split: `n01751748/ILSVRC2012_val_00000001.JPEG`.
std::string relabeled_path(const SourceImage& image, std::string_view wnid);

// Writes OUT/SPLIT/CLASS/IMAGE for every image of `splits`, and OUT/relabel.json, by which the same call again leaves
// the tree alone. Throws Error(kInvalidInput) for a split that is absent or has no labels, and where `out` has
// something else in it; Error(kIo). Whatever happens, `out` is absent or whole.
RelabelReport write_relabeled_tree(FileSystem& fs, const LabeledSource& source, ImageReader& reader,
                                   const std::filesystem::path& out, const std::vector<std::string>& splits,
                                   RelabelMode mode);

// `image,wnid,label` in the order of canonical names. Throws as above.
std::string relabeled_csv(const LabeledSource& source, const std::string& split);

}  // namespace imgpack::ingest
