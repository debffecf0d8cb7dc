#include "format/label_set.h"

#include <algorithm>
#include <boost/json/value.hpp>

#include "format/checksum.h"
#include "format/dataset.h"
#include "format/error.h"
#include "format/layout.h"
#include "format/sealed_json.h"
#include "format/shard_codec.h"
#include "format/strict_json.h"

namespace imgpack {
namespace {

constexpr const char* kFormatName = "imgpack.labels";

void check_version(StrictObject& root, const std::filesystem::path& path) {
  StrictObject version = root.object("format_version");
  const uint64_t major = version.integer("major");
  const uint64_t minor = version.integer("minor");
  version.finish();
  if (major != layout::kMajor) {
    throw Error(ErrorKind::kUnsupportedVersion,
                "label set has format version " + std::to_string(major) + "." + std::to_string(minor) +
                    ": expected version " + std::to_string(layout::kMajor),
                path, {}, "use a newer imgpack");
  }
  if (minor > layout::kMinor) root.ignore_unknown_keys();
}

}  // namespace

uint64_t ids_checksum(std::span<const uint64_t> ids) {
  return checksum(std::as_bytes(ids));
}

std::string label_set_file_name(const std::string& name) {
  return "labels-" + name + ".json";
}

std::string to_json(const LabelSet& set) {
  std::string out = "{\n";
  out += "  \"format\": " + json_quote(kFormatName) + ",\n";
  out += "  \"format_version\": {\"major\": " + std::to_string(layout::kMajor) +
         ", \"minor\": " + std::to_string(layout::kMinor) + "},\n";
  out += "  \"name\": " + json_quote(set.name) + ",\n";
  out += "  \"split\": " + json_quote(set.split) + ",\n";
  out += "  \"classes\": " + std::to_string(set.classes) + ",\n";
  out += "  \"records\": " + std::to_string(set.labels.size()) + ",\n";
  out += "  \"ids\": " + json_quote(to_hex(set.ids)) + ",\n";
  out += "  \"labels\": [";
  for (size_t i = 0; i < set.labels.size(); ++i) {
    out += i == 0 ? "\n    [" : ",\n    [";
    for (size_t k = 0; k < set.labels[i].size(); ++k) out += (k == 0 ? "" : ", ") + std::to_string(set.labels[i][k]);
    out += "]";
  }
  out += set.labels.empty() ? "],\n" : "\n  ],\n";
  std::string text = seal_json(std::move(out));
  try {
    parse_label_set(text, label_set_file_name(set.name));
  } catch (const Error& error) {
    throw Error(ErrorKind::kInvalidInput, std::string("cannot write this label set: ") + error.what());
  }
  return text;
}

LabelSet parse_label_set(std::string_view text, const std::filesystem::path& path) {
  check_seal(text, path);
  const boost::json::value document = parse_json(text, path);
  StrictObject root(document, "", path);
  if (const std::string format = root.string("format"); format != kFormatName)
    root.fail("format", std::string("'") + kFormatName + "'", "'" + format + "'");
  check_version(root, path);
  LabelSet set;
  set.name = root.string("name");
  set.split = root.string("split");
  for (const char* key : {"name", "split"}) {
    const std::string value = root.string(key);
    if (!is_split_name(value)) root.fail(key, "1 to 31 letters, digits, '_' or '-'", "'" + value + "'");
  }
  set.classes = static_cast<uint32_t>(root.integer("classes", INT32_MAX));
  const uint64_t records = root.integer("records");
  set.ids = root.hex("ids");
  const auto& rows = root.array("labels");
  if (rows.size() != records)
    root.fail("labels", std::to_string(records) + " rows, as `records` says", std::to_string(rows.size()));
  set.labels.reserve(rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    const std::string where = "labels[" + std::to_string(i) + "]";
    if (!rows[i].is_array()) root.fail(where, "an array", json_type_name(rows[i]));
    std::vector<int32_t> labels;
    for (const auto& element : rows[i].get_array()) {
      const int64_t label = json_integer(element, where, path);
      if (label < 0 || label >= static_cast<int64_t>(set.classes) || (!labels.empty() && label <= labels.back()))
        root.fail(where, "ascending labels below " + std::to_string(set.classes), std::to_string(label));
      labels.push_back(static_cast<int32_t>(label));
    }
    set.labels.push_back(std::move(labels));
  }
  root.hex("checksum");
  root.finish();
  return set;
}

LabelSetInfo publish_label_set(FileSystem& fs, const std::filesystem::path& dataset, const LabelSet& set) {
  const std::string text = to_json(set);
  LabelSetInfo info{set.name, label_set_file_name(set.name), set.split, checksum(text)};
  publish(fs, dataset / info.file, text);
  return info;
}

LabelSet check_label_set(std::string_view text, const LabelSetInfo& info, const std::filesystem::path& path) {
  if (const uint64_t computed = checksum(text); !same_checksum(info.digest, computed)) {
    throw Error(ErrorKind::kCorruption,
                "label set digest mismatch: expected " + to_hex(info.digest) + ", found " + to_hex(computed), path);
  }
  LabelSet set = parse_label_set(text, path);
  if (set.name != info.name || set.split != info.split)
    throw Error(ErrorKind::kCorruption,
                "label set is another one: expected '" + info.name + "' of split '" + info.split + "', found '" +
                    set.name + "' of '" + set.split + "'",
                path);
  return set;
}

LabelSet read_label_set(FileSystem& fs, const std::filesystem::path& dataset, const LabelSetInfo& info) {
  const std::filesystem::path path = dataset / info.file;
  return check_label_set(read_text(fs, path, layout::kMaxLabelSetBytes), info, path);
}

bool add_label_set(FileSystem& fs, const std::filesystem::path& dataset, const LabelSet& set) {
  const Dataset opened = Dataset::open(fs, dataset);
  const SplitView& split = opened.split(set.split);
  if (set.labels.size() != split.records() || set.ids != ids_checksum(split.columns.id) ||
      set.classes != opened.manifest().classes.size())
    throw Error(ErrorKind::kInvalidInput, "label set '" + set.name + "' is not for the records of split " + set.split,
                dataset);
  Manifest manifest = opened.manifest();
  const LabelSetInfo info{set.name, label_set_file_name(set.name), set.split, checksum(to_json(set))};
  for (const LabelSetInfo& there : manifest.label_sets) {
    if (there.name == info.name && there.split == info.split && there.digest == info.digest &&
        there.file == info.file && fs.exists(dataset / info.file))
      return false;
  }
  // A manifest must never name a file of another digest, so the old set goes before the new one comes.
  if (std::erase_if(manifest.label_sets, [&](const LabelSetInfo& there) { return there.name == set.name; }) > 0)
    publish_manifest(fs, dataset, manifest);
  manifest.label_sets.push_back(publish_label_set(fs, dataset, set));
  publish_manifest(fs, dataset, manifest);
  return true;
}

bool remove_label_set(FileSystem& fs, const std::filesystem::path& dataset, const std::string& name) {
  Manifest manifest = read_manifest(fs, dataset);
  if (std::erase_if(manifest.label_sets, [&](const LabelSetInfo& there) { return there.name == name; }) == 0)
    return false;
  publish_manifest(fs, dataset, manifest);
  fs.remove(dataset / label_set_file_name(name));
  fs.sync_directory(dataset);
  return true;
}

}  // namespace imgpack
