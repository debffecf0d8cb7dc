// The classes of a dataset: which there are, in which order, and why. Position = label.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "format/ingest/label_table.h"
#include "format/ingest/source.h"
#include "format/manifest.h"

namespace imgpack::ingest {

enum class ClassPolicy {
  kAuto,      // The 1,000 of ILSVRC2012 if the folders are these; else LOC_synset_mapping.txt; else the folders.
  kImagenet,  // The 1,000 of ILSVRC2012, whatever folders there are.
  kMapping,   // LOC_synset_mapping.txt, whatever folders there are.
  kFolders,   // The class folders there are, numbered by themselves.
};

struct ClassList {
  std::vector<ClassInfo> classes;  // Sorted by WNID (bytewise).
  std::string origin;              // For people: `built-in table of the 1,000 ILSVRC2012 classes`.
  bool is_ilsvrc = false;          // The list is the built-in table.
  std::vector<std::string> notes;  // What a person should know of the choice.

  std::optional<int32_t> label_of(std::string_view wnid) const;
};

// `folders` are the class folders of train, or of val where there is no train; `mapping` is empty where there is no
// such file. A missing class folder never shifts an index silently: where the folders are not all that the list should
// have, kAuto throws Error(kInvalidInput) and the caller's user has to choose.
ClassList make_class_list(ClassPolicy policy, const std::vector<std::string>& folders, const std::string& folders_of,
                          const std::vector<SynsetLine>& mapping, const std::filesystem::path& mapping_path);

}  // namespace imgpack::ingest
