// The classes of a model: the one place that knows what class 0 is called.
//
//   weights metadata `classes`, `class_names` (from the manifest) --+--> ModelClass{wnid, names} for every output
//   the 1,000 classes of ILSVRC2012 (format/ingest/ilsvrc2012.h) ---+
//   a file of the form of LOC_synset_mapping.txt, where one is given
//
// Pure functions; any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "format/file.h"

namespace imgtrain {

struct ModelClass {
  std::string wnid;   // `n01440764`; of other data the name of the class's folder; empty: not known.
  std::string names;  // For people, all synonyms: `tench, Tinca tinca`. Never empty.

  // The first of the names: `tench`. Not unique: two classes of ILSVRC2012 are called crane.
  std::string label() const { return names.substr(0, names.find(',')); }
};

// The classes of a model with `count` outputs; position = output. `stated`: the JSON list of folder names in the
// metadata of a weights file, `stated_names` the list of their names for people; empty where the file says nothing. A
// folder without a stated name has ILSVRC2012's if it is one of its WNIDs, else its own. Nothing stated at all: 1,000
// outputs are those of ILSVRC2012 in sorted WNID order, as torchvision, timm and Caffe number them, and any other
// number gives `class 0`, `class 1` … Throws Error(kCorruption) for a list that is none or has another length. `path`
// is for messages.
std::vector<ModelClass> model_classes(std::string_view stated, int64_t count, const std::filesystem::path& path,
                                      std::string_view stated_names = {});

// One class a line, `n01440764 tench, Tinca tinca`, in the order of the outputs (LOC_synset_mapping.txt). Throws
// Error(kInvalidInput) where the lines are not `count`.
std::vector<ModelClass> read_class_file(imgpack::FileSystem& fs, const std::filesystem::path& path, int64_t count);

}  // namespace imgtrain
