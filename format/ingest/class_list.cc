#include "format/ingest/class_list.h"

#include <algorithm>
#include <set>

#include "format/error.h"
#include "format/ingest/ilsvrc2012.h"
#include "format/ingest/image_name.h"

namespace imgpack::ingest {
namespace {

constexpr size_t kExamples = 5;

std::string some_of(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), kExamples); ++i) text += (i == 0 ? "" : ", ") + printable(names[i]);
  if (names.size() > kExamples) text += " and " + std::to_string(names.size() - kExamples) + " more";
  return text;
}

// Both sorted: what `a` has and `b` lacks.
std::vector<std::string> difference(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  std::vector<std::string> rest;
  std::set_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(rest));
  return rest;
}

std::vector<std::string> wnids_of(const std::vector<ClassInfo>& classes) {
  std::vector<std::string> wnids;
  wnids.reserve(classes.size());
  for (const ClassInfo& one : classes) wnids.push_back(one.wnid);
  return wnids;
}

ClassList ilsvrc_list() {
  ClassList list;
  for (const IlsvrcClass& one : ilsvrc_classes())
    list.classes.push_back({std::string(one.wnid), std::string(one.names)});
  list.origin = "built-in table of the 1,000 ILSVRC2012 classes";
  list.is_ilsvrc = true;
  return list;
}

ClassList mapping_list(const std::vector<SynsetLine>& mapping, const std::filesystem::path& path) {
  ClassList list;
  for (const SynsetLine& line : mapping) list.classes.push_back({line.wnid, line.names});
  std::sort(list.classes.begin(), list.classes.end(),
            [](const ClassInfo& a, const ClassInfo& b) { return a.wnid < b.wnid; });
  for (size_t i = 1; i < list.classes.size(); ++i) {
    if (list.classes[i].wnid == list.classes[i - 1].wnid) {
      throw Error(ErrorKind::kInvalidInput, "class " + printable(list.classes[i].wnid) + " is listed twice", path);
    }
  }
  list.origin = path.filename().string();
  const bool same = wnids_of(list.classes) == wnids_of(ilsvrc_list().classes);
  return same ? ilsvrc_list() : list;
}

ClassList folder_list(const std::vector<std::string>& folders, const std::string& folders_of,
                      const std::vector<SynsetLine>& mapping) {
  std::unordered_map<std::string_view, std::string_view> names;
  for (const IlsvrcClass& one : ilsvrc_classes()) names.emplace(one.wnid, one.names);
  for (const SynsetLine& line : mapping) names[line.wnid] = line.names;
  ClassList list;
  size_t known = 0;
  for (const std::string& folder : folders) {
    const auto at = names.find(folder);
    list.classes.push_back({folder, at == names.end() ? "" : std::string(at->second)});
    if (ilsvrc_label(folder)) ++known;
  }
  list.origin = "class folders of " + folders_of;
  if (known == folders.size() && known == kIlsvrcClasses) return ilsvrc_list();
  if (known == folders.size() && known > 0) {
    list.notes.push_back(std::to_string(known) + " of the 1,000 ILSVRC2012 classes, numbered 0 to " +
                         std::to_string(known - 1) + " by themselves (--classes imagenet keeps the 1,000 numbers)");
  }
  return list;
}

// Folders that the list lacks are always an error; classes without a folder only where nobody chose the list.
void compare(ClassList& list, ClassPolicy policy, const std::vector<std::string>& folders,
             const std::string& folders_of) {
  const auto wnids = wnids_of(list.classes);
  const auto unknown = difference(folders, wnids);
  if (!unknown.empty()) {
    throw Error(ErrorKind::kInvalidInput,
                std::to_string(unknown.size()) + " class folders of " + folders_of + " are not in the " + list.origin +
                    ": " + some_of(unknown),
                {}, {}, "remove these folders, or number the folders by themselves with --classes folders");
  }
  const auto missing = difference(wnids, folders);
  if (missing.empty()) return;
  const std::string what = std::to_string(missing.size()) + " of the " + std::to_string(wnids.size()) +
                           " classes of the " + list.origin + " have no folder in " + folders_of + ": " +
                           some_of(missing);
  if (policy == ClassPolicy::kAuto) {
    throw Error(ErrorKind::kInvalidInput, what, {}, {},
                std::string("complete the download, or choose: --classes ") +
                    (list.is_ilsvrc ? "imagenet" : "mapping") +
                    " keeps all numbers, --classes folders numbers what is there");
  }
  list.notes.push_back(what);
}

bool most_of_ilsvrc(const std::vector<std::string>& folders) {
  const auto known =
      std::count_if(folders.begin(), folders.end(), [](const std::string& f) { return ilsvrc_label(f).has_value(); });
  return static_cast<size_t>(known) == folders.size() && folders.size() > kIlsvrcClasses / 2;
}

}  // namespace

std::optional<int32_t> ClassList::label_of(std::string_view wnid) const {
  const auto at = std::lower_bound(classes.begin(), classes.end(), wnid,
                                   [](const ClassInfo& one, std::string_view key) { return one.wnid < key; });
  if (at == classes.end() || at->wnid != wnid) return std::nullopt;
  return static_cast<int32_t>(at - classes.begin());
}

ClassList make_class_list(ClassPolicy policy, const std::vector<std::string>& folders, const std::string& folders_of,
                          const std::vector<SynsetLine>& mapping, const std::filesystem::path& mapping_path) {
  std::vector<std::string> sorted = folders;
  std::sort(sorted.begin(), sorted.end());
  if (policy == ClassPolicy::kMapping && mapping.empty()) {
    throw Error(ErrorKind::kInvalidInput, "--classes mapping: there is no LOC_synset_mapping.txt in the source");
  }
  if (policy == ClassPolicy::kFolders && sorted.empty()) {
    throw Error(ErrorKind::kInvalidInput, "--classes folders: there is no class folder in the source");
  }
  ClassList list;
  if (policy == ClassPolicy::kFolders) return folder_list(sorted, folders_of, mapping);
  if (policy == ClassPolicy::kMapping || (policy == ClassPolicy::kAuto && !mapping.empty())) {
    list = mapping_list(mapping, mapping_path);
  } else if (policy == ClassPolicy::kImagenet || most_of_ilsvrc(sorted)) {
    list = ilsvrc_list();
  } else {
    return folder_list(sorted, folders_of, mapping);
  }
  if (!sorted.empty()) compare(list, policy, sorted, folders_of);
  return list;
}

}  // namespace imgpack::ingest
