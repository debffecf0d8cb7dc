#include "format/ingest/relabel.h"

#include <tbb/parallel_for.h>

#include <set>

#include "format/checksum.h"
#include "format/error.h"
#include "format/record.h"
#include "format/staged_folder.h"
#include "format/strict_json.h"

namespace imgpack::ingest {
namespace {

using std::filesystem::path;

constexpr const char* kMarkerFile = "relabel.json";

struct SplitLabels {
  const SourceSplit* split = nullptr;
  const LabeledSplit* labels = nullptr;
};

SplitLabels labeled_split(const LabeledSource& source, const std::string& name) {
  for (size_t s = 0; s < source.scan.splits.size(); ++s) {
    if (source.scan.splits[s].name != name) continue;
    if (!source.splits[s].labeled)
      throw Error(ErrorKind::kInvalidInput, "split " + name + " has no labels: expected some source of them",
                  source.scan.root);
    return {&source.scan.splits[s], &source.splits[s]};
  }
  throw Error(ErrorKind::kInvalidInput, "the source has no split '" + name + "'", source.scan.root);
}

const std::string& wnid_of(const LabeledSource& source, int32_t label) {
  return source.classes.classes[static_cast<size_t>(label)].wnid;
}

const char* mode_name(RelabelMode mode) {
  if (mode == RelabelMode::kHardLink) return "hard links";
  return mode == RelabelMode::kSymbolicLink ? "symbolic links" : "copies";
}

std::string csv_field(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string quoted = "\"";
  for (const char letter : text) quoted += letter == '"' ? std::string("\"\"") : std::string(1, letter);
  return quoted + "\"";
}

// What the tree is made from: two of one text are the same tree.
std::string made_from(const LabeledSource& source, const std::vector<std::string>& splits, RelabelMode mode) {
  std::string text = mode_name(mode);
  for (const std::string& split : splits) text += ", " + split + " " + to_hex(checksum(relabeled_csv(source, split)));
  return text + ", from " + std::filesystem::absolute(source.scan.root).string();
}

}  // namespace

std::string relabeled_path(const SourceImage& image, std::string_view wnid) {
  const std::string folder = std::string(wnid) + "/";
  const std::string name(image.name());
  return name.starts_with(folder) ? name : folder + name;
}

std::string relabeled_csv(const LabeledSource& source, const std::string& name) {
  const auto [split, labels] = labeled_split(source, name);
  std::string text = "image,wnid,label\n";
  for (size_t i = 0; i < split->images.size(); ++i) {
    const int32_t label = labels->labels[i];
    text += csv_field(split->images[i].name()) + "," + csv_field(wnid_of(source, label)) + "," + std::to_string(label) +
            "\n";
  }
  return text;
}

RelabelReport write_relabeled_tree(FileSystem& fs, const LabeledSource& source, ImageReader& reader, const path& out,
                                   const std::vector<std::string>& splits, RelabelMode mode) {
  RelabelReport report;
  std::vector<SplitLabels> parts;
  std::set<std::string> folders;
  for (const std::string& name : splits) {
    parts.push_back(labeled_split(source, name));
    report.images += parts.back().split->images.size();
    for (const int32_t label : parts.back().labels->labels) folders.insert(name + "/" + wnid_of(source, label));
  }
  report.classes = folders.size();
  const std::string marker = "{\"made_from\": " + json_quote(made_from(source, splits, mode)) + "}\n";
  if (fs.exists(out / kMarkerFile) && read_text(fs, out / kMarkerFile, 1 << 20) == marker) {
    report.already_there = true;
    return report;
  }
  StagedFolder tree(fs, out);
  for (const auto& [split, labels] : parts) {
    // Structured bindings cannot be captured by a lambda that clang 14 compiles.
    const SourceSplit& from = *split;
    const std::vector<int32_t>& label = labels->labels;
    tbb::parallel_for(size_t{0}, from.images.size(), [&](size_t i) {
      const SourceImage& image = from.images[i];
      const path target = path(from.name) / relabeled_path(image, wnid_of(source, label[i]));
      const path original = std::filesystem::absolute(source.scan.root / from.folder / image.path);
      switch (mode) {
        case RelabelMode::kHardLink:
          return tree.link(original, target, LinkKind::kHard);
        case RelabelMode::kSymbolicLink:
          return tree.link(original, target, LinkKind::kSymbolic);
        case RelabelMode::kCopy:
          return tree.write(target, reader.read(from, image));
      }
    });
  }
  tree.write(kMarkerFile, std::as_bytes(std::span(marker)));
  tree.commit();
  return report;
}

}  // namespace imgpack::ingest
