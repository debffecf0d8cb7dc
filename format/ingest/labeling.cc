#include "format/ingest/labeling.h"

#include <algorithm>
#include <optional>
#include <set>

#include "format/error.h"
#include "format/ingest/devkit.h"
#include "format/ingest/ilsvrc2012.h"
#include "format/ingest/image_name.h"
#include "format/record.h"

namespace imgpack::ingest {
namespace {

using std::filesystem::path;

constexpr uint64_t kMaxTextBytes = 1ull << 30;  // LOC_train_solution.csv, the largest of them, has about 40 MB.
constexpr size_t kExamples = 10;
constexpr const char* kFolderSource = "class folders";

// The first of the label folders that has `name`.
std::optional<path> find_file(FileSystem& fs, const SourceScan& scan, const path& name) {
  for (const path& folder : scan.label_folders) {
    if (fs.exists(folder / name)) return folder / name;
  }
  return std::nullopt;
}

// The devkit as it is unpacked, or its files alone; ILSVRC2015 is the name in the torrent, whose validation set is that
// of 2012.
constexpr const char* kGroundTruths[] = {
    "ILSVRC2012_validation_ground_truth.txt",
    "data/ILSVRC2012_validation_ground_truth.txt",
    "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt",
    "devkit/data/ILSVRC2012_validation_ground_truth.txt",
    "devkit/data/ILSVRC2015_clsloc_validation_ground_truth.txt",
    "ILSVRC/devkit/data/ILSVRC2015_clsloc_validation_ground_truth.txt",
};
constexpr const char* kIdMaps[] = {"ILSVRC2012_id_to_wnid.txt", "map_clsloc.txt", "meta.csv", "meta.txt"};

void add_ground_truth(FileSystem& fs, const SourceScan& scan, std::vector<LabelTable>& tables) {
  for (const char* name : kGroundTruths) {
    const auto file = find_file(fs, scan, name);
    if (!file) continue;
    const std::vector<uint32_t> ids = parse_ground_truth(read_text(fs, *file, kMaxTextBytes), *file);
    for (const char* map_name : kIdMaps) {
      const path map_file = file->parent_path() / map_name;
      if (!fs.exists(map_file)) continue;
      tables.push_back(
          ground_truth_table(ids, parse_id_map(read_text(fs, map_file, kMaxTextBytes), map_file), *file, map_name));
      return;
    }
    tables.push_back(ground_truth_table(ids, derive_id_map(ids, *file), *file, "the built-in labels"));
    return;
  }
}

// Beside the source, or in the folder that it is to be run in.
void add_valprep(FileSystem& fs, const SourceScan& scan, const SourceSplit& split, std::vector<LabelTable>& tables) {
  auto file = find_file(fs, scan, "valprep.sh");
  if (const path inside = scan.root / split.folder / "valprep.sh"; !file && fs.exists(inside)) file = inside;
  if (file) tables.push_back(parse_valprep_script(read_text(fs, *file, kMaxTextBytes), *file));
}

std::vector<LabelTable> user_tables(FileSystem& fs, const std::string& split, const LabelOptions& options) {
  std::vector<LabelTable> tables;
  for (const UserLabels& labels : options.files) {
    if (labels.split == split)
      tables.push_back(parse_label_list(read_text(fs, labels.file, kMaxTextBytes), labels.file));
  }
  return tables;
}

std::vector<LabelTable> present_tables(FileSystem& fs, const SourceScan& scan, const SourceSplit& split,
                                       const LabelOptions& options) {
  std::vector<LabelTable> tables = user_tables(fs, split.name, options);
  if (const auto file = find_file(fs, scan, "LOC_val_solution.csv")) {
    tables.push_back(parse_loc_solution(read_text(fs, *file, kMaxTextBytes), *file));
  }
  for (const char* name : {"Annotations/CLS-LOC/val", "ILSVRC/Annotations/CLS-LOC/val"}) {
    const auto folder = find_file(fs, scan, name);
    if (!folder) continue;
    LabelTable table = read_annotations(fs, *folder, split);
    // An empty folder, or the annotations of another set under their own names, say nothing.
    if (!table.class_of.empty()) tables.push_back(std::move(table));
    break;
  }
  add_ground_truth(fs, scan, tables);
  add_valprep(fs, scan, split, tables);
  return tables;
}

struct Mapping {
  std::vector<SynsetLine> lines;
  path file;
};

Mapping read_mapping(FileSystem& fs, const SourceScan& scan) {
  const auto file = find_file(fs, scan, "LOC_synset_mapping.txt");
  if (!file) return {};
  return {parse_synset_mapping(read_text(fs, *file, kMaxTextBytes), *file), *file};
}

std::vector<std::string> classes_of(const SourceSplit& split, const std::vector<LabelTable>& tables) {
  std::set<std::string> classes(split.class_folders.begin(), split.class_folders.end());
  for (const LabelTable& table : tables) {
    for (const auto& [stem, class_name] : table.class_of) classes.insert(class_name);
  }
  return {classes.begin(), classes.end()};
}

ClassList choose_classes(const SourceScan& scan, const Mapping& mapping, const std::vector<LabelTable>& train_tables,
                         const std::vector<LabelTable>& val_tables, ClassPolicy policy) {
  if (const SourceSplit* train = scan.find("train")) {
    return make_class_list(policy, classes_of(*train, train_tables), "train", mapping.lines, mapping.file);
  }
  const SourceSplit* val = scan.find("val");
  const auto classes = val == nullptr ? std::vector<std::string>() : classes_of(*val, val_tables);
  if (classes.empty() && mapping.lines.empty() && policy == ClassPolicy::kAuto) policy = ClassPolicy::kImagenet;
  return make_class_list(policy, classes, "val", mapping.lines, mapping.file);
}

// How many of the images are validation images of ILSVRC2012 by their name.
size_t ilsvrc_val_images(const SourceSplit& split) {
  return static_cast<size_t>(std::count_if(split.images.begin(), split.images.end(), [](const SourceImage& image) {
    return ilsvrc_val_number(image.name()).has_value();
  }));
}

// The built-in labels hold for the ILSVRC2012 validation set itself: all 50,000 names, and the 1,000 classes. A smaller
// set with such names may have numbers of its own.
void add_builtin(const SourceSplit& val, const ClassList& classes, bool forced, std::vector<LabelTable>& tables,
                 std::vector<std::string>& notes) {
  const size_t named = ilsvrc_val_images(val);
  const bool whole = named == kIlsvrcValImages && val.images.size() == kIlsvrcValImages;
  if ((whole && classes.is_ilsvrc) || (forced && named > 0)) {
    tables.push_back(builtin_val_labels());
  } else if (forced) {
    throw Error(ErrorKind::kInvalidInput,
                "the built-in labels are for ILSVRC2012_val_00000001 to ILSVRC2012_val_00050000: no image of val has "
                "such a name");
  } else if (named > 0) {
    notes.push_back("built-in ILSVRC2012 labels: not applied, because " +
                    (whole ? std::string("the classes are not the 1,000 of ILSVRC2012")
                           : "val has " + std::to_string(val.images.size()) + " images, not the 50,000 of ILSVRC2012") +
                    ": the numbers in its names may be its own");
  }
}

void check_train(const SourceSplit& train) {
  const size_t flat = train.flat_images();
  if (flat == 0) return;
  const auto first =
      std::find_if(train.images.begin(), train.images.end(), [](const SourceImage& i) { return i.class_bytes == 0; });
  throw Error(ErrorKind::kInvalidInput,
              std::to_string(flat) + " training images lie in no class folder, for example " + printable(first->path) +
                  ": expected train/CLASS/IMAGE",
              path(train.folder), {}, "move them into a folder per class");
}

bool is_labeled_test(const SourceSplit& test, const ClassList& classes) {
  if (test.flat_images() > 0 || test.class_folders.empty()) return false;
  return std::all_of(test.class_folders.begin(), test.class_folders.end(),
                     [&](const std::string& folder) { return classes.label_of(folder).has_value(); });
}

LabeledSplit unlabeled(const SourceSplit& split) {
  LabeledSplit result;
  result.labels.assign(split.images.size(), kNoLabel);
  return result;
}

// Names that ImageSets/CLS-LOC lists and the split lacks, or nullopt where there is no such list.
std::optional<MissingImages> missing_by_list(FileSystem& fs, const SourceScan& scan, const SourceSplit& split) {
  const std::string file =
      "ImageSets/CLS-LOC/" + (split.name == "train" ? std::string("train_cls") : split.name) + ".txt";
  auto list = find_file(fs, scan, file);
  if (!list) list = find_file(fs, scan, "ILSVRC/" + file);
  if (!list) return std::nullopt;
  std::vector<std::string> expected = parse_image_set(read_text(fs, *list, kMaxTextBytes), *list);
  std::vector<std::string_view> found;
  for (const SourceImage& image : split.images) {
    const std::string_view name = image.name();
    found.push_back(name.substr(0, name.rfind('.')));
  }
  std::sort(expected.begin(), expected.end());
  std::sort(found.begin(), found.end());
  MissingImages missing{split.name, expected.size(), found.size(), 0, {}};
  for (const std::string& name : expected) {
    if (std::binary_search(found.begin(), found.end(), std::string_view(name))) continue;
    ++missing.missing;
    if (missing.examples.size() < kExamples) missing.examples.push_back(printable(name));
  }
  return missing;
}

void check_completeness(FileSystem& fs, LabeledSource& source) {
  const SourceSplit* train = source.scan.find("train");
  const bool full = source.classes.is_ilsvrc && train != nullptr && train->class_folders.size() == kIlsvrcClasses;
  for (const SourceSplit& split : source.scan.splits) {
    auto by_list = source.scan.kind == SourceKind::kKaggle ? missing_by_list(fs, source.scan, split) : std::nullopt;
    if (by_list && by_list->missing > 0) {
      source.missing.push_back(*std::move(by_list));
      continue;
    }
    if (!full) continue;
    const uint64_t expected = split.name == "train" ? kIlsvrcTrainImages
                              : split.name == "val" ? kIlsvrcValImages
                                                    : kIlsvrcTestImages;
    const uint64_t found = split.images.size();
    if (found != expected)
      source.missing.push_back({split.name, expected, found, expected > found ? expected - found : 0, {}});
  }
}

// What the sources say of one image, in the order of the tables, the class folder first. Empty: nothing.
class Verdicts {
 public:
  explicit Verdicts(const std::vector<LabelTable>& tables) : tables_(tables), says_(tables.size() + 1) {}

  void look_up(const SourceImage& image) {
    says_[0] = image.class_folder();
    const std::string_view name = image.name();
    const std::string whole(name.substr(0, name.rfind('.')));
    for (size_t t = 0; t < tables_.size(); ++t) {
      auto at = tables_[t].class_of.find(whole);
      // Label files name the file alone where its folder is only the class.
      if (at == tables_[t].class_of.end()) at = tables_[t].class_of.find(std::string(stem_of(name)));
      says_[t + 1] = at == tables_[t].class_of.end() ? std::string_view() : std::string_view(at->second);
    }
  }

  const std::vector<std::string_view>& says() const { return says_; }

  std::string_view first() const {
    const auto at = std::find_if(says_.begin(), says_.end(), [](std::string_view one) { return !one.empty(); });
    return at == says_.end() ? std::string_view() : *at;
  }

  bool agree() const {
    return std::all_of(says_.begin(), says_.end(), [&](std::string_view one) { return one.empty() || one == first(); });
  }

  std::string text() const {
    std::string words;
    for (size_t s = 0; s < says_.size(); ++s) {
      if (says_[s].empty()) continue;
      words += (words.empty() ? "" : ", ") + (s == 0 ? std::string(kFolderSource) : tables_[s - 1].source) + " says " +
               printable(says_[s]);
    }
    return words;
  }

 private:
  const std::vector<LabelTable>& tables_;
  std::vector<std::string_view> says_;
};

// Some lines and the count of all.
struct Findings {
  uint64_t count = 0;
  std::vector<std::string> lines;

  void add(const std::string& line) {
    if (++count <= kExamples) lines.push_back(line);
  }
  std::string text() const {
    std::string text = ":";
    for (const std::string& line : lines) text += "\n  " + line;
    return count > kExamples ? text + "\n  ..." : text;
  }
};

[[noreturn]] void fail(const std::string& message, const std::string& hint) {
  throw Error(ErrorKind::kInvalidInput, message, {}, {}, hint);
}

}  // namespace

LabeledSplit agree_on_labels(const SourceSplit& split, const std::vector<LabelTable>& tables,
                             const ClassList& classes) {
  LabeledSplit result;
  result.labeled = true;
  result.labels.assign(split.images.size(), kNoLabel);
  std::vector<uint64_t> covered(tables.size() + 1, 0);
  Findings disagreements, without_label, unknown;
  Verdicts verdicts(tables);
  for (size_t i = 0; i < split.images.size(); ++i) {
    const SourceImage& image = split.images[i];
    verdicts.look_up(image);
    for (size_t s = 0; s < covered.size(); ++s) covered[s] += verdicts.says()[s].empty() ? 0 : 1;
    const std::string_view agreed = verdicts.first();
    if (agreed.empty()) {
      without_label.add(printable(image.path));
    } else if (!verdicts.agree()) {
      disagreements.add(printable(image.path) + ": " + verdicts.text());
    } else if (const auto label = classes.label_of(agreed)) {
      result.labels[i] = *label;
    } else {
      unknown.add(printable(image.path) + ": " + verdicts.text());
    }
  }
  if (covered[0] > 0) result.sources.push_back({kFolderSource, {}, covered[0], 0});
  for (size_t t = 0; t < tables.size(); ++t) {
    const uint64_t size = tables[t].class_of.size();
    if (covered[t + 1] == 0 && size > 0 && !split.images.empty()) {
      throw Error(ErrorKind::kInvalidInput,
                  "label file is for other images: none of its " + std::to_string(size) + " names, such as " +
                      printable(tables[t].class_of.begin()->first) + ", is among the " +
                      std::to_string(split.images.size()) + " of " + split.name + ", such as " +
                      printable(stem_of(split.images.front().name())),
                  tables[t].path, {}, "use the label file of this set, or move this one away");
    }
    result.sources.push_back({tables[t].source, tables[t].path, covered[t + 1], size - std::min(size, covered[t + 1])});
  }
  const std::string of_all = " of the " + std::to_string(split.images.size()) + " images of " + split.name;
  if (disagreements.count > 0) {
    fail("label sources disagree on " + std::to_string(disagreements.count) + of_all + disagreements.text(),
         "find out which source is wrong and move it away");
  }
  if (unknown.count > 0) {
    fail(std::to_string(unknown.count) + of_all + " are of classes that are not in the " + classes.origin +
             unknown.text(),
         "train and val must have the same classes; a label file holds names of class folders (n01440764), no numbers");
  }
  if (without_label.count > 0) {
    fail(std::to_string(without_label.count) + of_all + " have no label" + without_label.text(),
         "add LOC_val_solution.csv, Annotations/CLS-LOC/val, the devkit's ground truth or valprep.sh, name a file by "
         "--labels, or sort the images into class folders");
  }
  return result;
}

LabeledSource label_source(FileSystem& fs, SourceScan scan, const LabelOptions& options) {
  LabeledSource source;
  const SourceSplit* val = scan.find("val");
  for (const UserLabels& labels : options.files) {
    if (scan.find(labels.split) == nullptr)
      throw Error(ErrorKind::kInvalidInput, "labels for a split that the source lacks: " + labels.split, labels.file);
  }
  std::vector<LabelTable> val_tables;
  const std::vector<LabelTable> train_tables = user_tables(fs, "train", options);
  const std::vector<LabelTable> test_tables = user_tables(fs, "test", options);
  if (val != nullptr) val_tables = present_tables(fs, scan, *val, options);
  source.classes = choose_classes(scan, read_mapping(fs, scan), train_tables, val_tables, options.classes);
  for (const SourceSplit& split : scan.splits) {
    if (split.name == "train") {
      if (train_tables.empty()) check_train(split);
      source.splits.push_back(agree_on_labels(split, train_tables, source.classes));
    } else if (split.name == "val") {
      std::vector<std::string> notes;
      add_builtin(split, source.classes, options.force_builtin, val_tables, notes);
      source.splits.push_back(agree_on_labels(split, val_tables, source.classes));
      source.splits.back().notes = std::move(notes);
    } else if (!test_tables.empty() || is_labeled_test(split, source.classes)) {
      source.splits.push_back(agree_on_labels(split, test_tables, source.classes));
    } else {
      source.splits.push_back(unlabeled(split));
    }
  }
  source.scan = std::move(scan);
  check_completeness(fs, source);
  return source;
}

}  // namespace imgpack::ingest
