#include "format/ingest/list_source.h"

#include <algorithm>
#include <array>
#include <set>
#include <unordered_map>

#include "format/error.h"
#include "format/ingest/csv_reader.h"
#include "format/ingest/image_name.h"
#include "format/ingest/plain_text.h"
#include "format/record.h"

namespace imgpack::ingest {
namespace {

using std::filesystem::path;

constexpr uint64_t kMaxListBytes = 1ull << 30;
constexpr size_t kMaxLabelBytes = 255;
constexpr uint64_t kMaxNumber = 999'999;  // Of a class that is given by its number.
constexpr size_t kExamples = 10;

bool is_header(const std::vector<std::string>& fields) {
  const std::string first = lower_case(trimmed(fields[0]));
  constexpr std::array<std::string_view, 6> words = {"path", "file", "filename", "file_name", "image", "image_path"};
  return std::find(words.begin(), words.end(), first) != words.end();
}

// `.tsv`, whatever the case.
std::string list_extension(const path& file) {
  return lower_case(file.extension().string());
}

// Names of the classes by label, and their list. Where labels are numbers, names are padded so that their order is the
// numbers' own.
struct ListClasses {
  std::map<std::string, std::string> name_of;
  ClassList list;
};

ListClasses classes_of(const std::vector<ListedImage>& images) {
  ListClasses classes;
  uint64_t largest = 0;
  bool all_numbers = true;
  for (const ListedImage& image : images) {
    if (image.label.empty()) continue;
    classes.name_of[image.label] = image.label;
    const auto number = whole_number(image.label, kMaxNumber);
    all_numbers = all_numbers && number.has_value();
    largest = std::max(largest, number.value_or(0));
  }
  if (all_numbers && !classes.name_of.empty()) {
    const size_t width = std::to_string(largest).size();
    const auto padded = [&](uint64_t number) {
      const std::string digits = std::to_string(number);
      return std::string(width - digits.size(), '0') + digits;
    };
    for (auto& [label, name] : classes.name_of) name = padded(*whole_number(label, kMaxNumber));
    for (uint64_t number = 0; number <= largest; ++number) classes.list.classes.push_back({padded(number), ""});
    classes.list.origin = "numbers in the list";
    if (classes.name_of.size() <= largest) {
      classes.list.notes.push_back(std::to_string(largest + 1 - classes.name_of.size()) + " of the numbers 0 to " +
                                   std::to_string(largest) + " are no image's label");
    }
    return classes;
  }
  for (const auto& [label, name] : classes.name_of) classes.list.classes.push_back({name, ""});
  classes.list.origin = "labels in the list";
  return classes;
}

// Sizes of files, one folder looked at once.
class Sizes {
 public:
  explicit Sizes(FileSystem& fs) : fs_(fs) {}
  // nullopt: no such file.
  std::optional<uint64_t> of(const path& file) {
    const std::string folder = file.parent_path().string();
    auto at = folders_.find(folder);
    if (at == folders_.end()) {
      at = folders_.emplace(folder, std::unordered_map<std::string, uint64_t>()).first;
      if (fs_.exists(folder)) {
        for (const DirectoryEntry& entry : fs_.list(folder)) {
          if (!entry.is_directory) at->second.emplace(entry.name, entry.bytes);
        }
      }
    }
    const auto found = at->second.find(file.filename().string());
    return found == at->second.end() ? std::nullopt : std::optional(found->second);
  }

 private:
  FileSystem& fs_;
  std::unordered_map<std::string, std::unordered_map<std::string, uint64_t>> folders_;
};

// Where the canonical name begins: behind a root, behind `..` and behind the split's own folder.
size_t name_begin(const std::string& plain, const std::string& split) {
  size_t begin = 0;
  while (begin < plain.size()) {
    const std::string_view rest = std::string_view(plain).substr(begin);
    if (rest.front() == '/') {
      begin += 1;
    } else if (rest.starts_with("../")) {
      begin += 3;
    } else {
      break;
    }
  }
  const size_t slash = plain.find('/', begin);
  if (begin == 0 && slash != std::string::npos && split_of_folder(plain.substr(0, slash)) == split) begin = slash + 1;
  const size_t last = plain.rfind('/');
  if (last != std::string::npos && is_ilsvrc_name(std::string_view(plain).substr(last + 1))) begin = last + 1;
  return begin;
}

struct Row {
  SourceImage image;
  const ListedImage* listed = nullptr;
};

LabeledSplit label_split(const SourceSplit& split, const std::vector<Row>& rows, const ListClasses& classes,
                         const path& list) {
  LabeledSplit labels;
  labels.labels.assign(split.images.size(), kNoLabel);
  uint64_t labeled = 0;
  for (const Row& row : rows) labeled += row.listed->label.empty() ? 0 : 1;
  if (labeled == 0) {
    if (split.name == "train") throw Error(ErrorKind::kInvalidInput, "no image of train has a label", list);
    return labels;
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    const ListedImage& listed = *rows[i].listed;
    if (listed.label.empty()) {
      throw Error(ErrorKind::kInvalidInput,
                  "line " + std::to_string(listed.line) + ": no label: " + printable(listed.path) + ", but others of " +
                      split.name + " have one",
                  list);
    }
    labels.labels[i] = *classes.list.label_of(classes.name_of.at(listed.label));
  }
  labels.labeled = true;
  labels.sources.push_back({list.filename().string(), list, labeled, 0});
  return labels;
}

}  // namespace

bool is_list_name(const path& file) {
  const std::string extension = list_extension(file);
  return extension == ".csv" || extension == ".tsv";
}

std::vector<ListedImage> parse_image_list(std::string_view text, char separator, const path& file) {
  CsvReader rows(text, separator, file);
  std::vector<std::string> fields;
  std::vector<ListedImage> images;
  while (rows.next(fields)) {
    if (images.empty() && rows.line() == 1 && is_header(fields)) continue;
    if (fields.size() < 2 || fields.size() > 3) {
      rows.fail("expected path" + std::string(1, separator) + "label or path" + std::string(1, separator) + "label" +
                std::string(1, separator) + "split, found " + std::to_string(fields.size()) + " columns");
    }
    ListedImage image{std::string(trimmed(fields[0])), std::string(trimmed(fields[1])), "train", rows.line()};
    if (image.path.empty()) rows.fail("path is empty");
    if (image.label.size() > kMaxLabelBytes || image.label.find('/') != std::string::npos || image.label == "." ||
        image.label == "..") {
      rows.fail("expected a label of at most 255 bytes without '/', found '" + printable(image.label.substr(0, 300)) +
                "'");
    }
    if (fields.size() == 3 && !trimmed(fields[2]).empty()) {
      image.split = split_of_folder(trimmed(fields[2]));
      if (image.split.empty()) rows.fail("expected the split train, val or test, found '" + printable(fields[2]) + "'");
    }
    images.push_back(std::move(image));
  }
  if (images.empty()) throw Error(ErrorKind::kInvalidInput, "list is empty: expected rows of path and label", file);
  return images;
}

LabeledSource read_image_list(FileSystem& fs, const path& given) {
  const path list = std::filesystem::absolute(given).lexically_normal();
  const char separator = list_extension(list) == ".tsv" ? '\t' : ',';
  const auto listed = parse_image_list(read_text(fs, list, kMaxListBytes), separator, list);
  const ListClasses classes = classes_of(listed);
  LabeledSource source;
  source.classes = classes.list;
  source.scan.kind = SourceKind::kList;
  source.scan.description = "list of images (" + list.filename().string() + ")";
  source.scan.root = list.parent_path();
  Sizes sizes(fs);
  std::map<std::string, std::vector<Row>> rows;
  uint64_t missing = 0;
  std::string examples;
  for (const ListedImage& image : listed) {
    std::string plain = path(image.path).lexically_normal().generic_string();
    const auto bytes = sizes.of((source.scan.root / plain).lexically_normal());
    if (!bytes) {
      if (++missing <= kExamples) examples += "\n  line " + std::to_string(image.line) + ": " + printable(image.path);
      continue;
    }
    if (*bytes > kMaxImageBytes) {
      throw Error(ErrorKind::kInvalidInput, "file is too large for an image: expected at most 1 GiB",
                  source.scan.root / plain);
    }
    if (plain.size() > kMaxPathBytes) throw Error(ErrorKind::kInvalidInput, "file name is too long", list);
    SourceImage one;
    one.name_begin = static_cast<uint16_t>(name_begin(plain, image.split));
    one.path = std::move(plain);
    one.bytes = *bytes;
    rows[image.split].push_back({std::move(one), &image});
  }
  if (missing > 0) {
    throw Error(ErrorKind::kInvalidInput,
                std::to_string(missing) + " of the " + std::to_string(listed.size()) +
                    " files of the list are not there:" + examples + (missing > kExamples ? "\n  ..." : ""),
                list, {}, "paths are relative to the list's folder, or absolute");
  }
  for (const char* name : {"train", "val", "test"}) {
    const auto at = rows.find(name);
    if (at == rows.end()) continue;
    std::sort(at->second.begin(), at->second.end(),
              [](const Row& a, const Row& b) { return a.image.name() < b.image.name(); });
    SourceSplit split;
    split.name = name;
    for (size_t i = 0; i < at->second.size(); ++i) {
      const Row& row = at->second[i];
      if (i > 0 && at->second[i - 1].image.name() == row.image.name()) {
        throw Error(ErrorKind::kInvalidInput,
                    "two rows for one image: lines " + std::to_string(at->second[i - 1].listed->line) + " and " +
                        std::to_string(row.listed->line) + ": " + printable(row.image.name()),
                    list, {}, "remove one of them");
      }
      split.images.push_back(row.image);
      split.bytes += row.image.bytes;
    }
    source.splits.push_back(label_split(split, at->second, classes, list));
    source.scan.splits.push_back(std::move(split));
  }
  return source;
}

}  // namespace imgpack::ingest
