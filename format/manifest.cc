#include "format/manifest.h"

#include <boost/json/value.hpp>
#include <set>

#include "format/checksum.h"
#include "format/error.h"
#include "format/layout.h"
#include "format/reindex_file.h"
#include "format/sealed_json.h"
#include "format/shard_codec.h"
#include "format/strict_json.h"

namespace imgpack {
namespace {

constexpr const char* kFormatName = "imgpack.dataset";

// A file name as the manifest may give it: within the dataset folder, whatever the manifest came from.
bool is_plain_file_name(std::string_view name) {
  return is_canonical_name(name) && name.find('/') == std::string_view::npos && name.size() <= 255;
}

std::string file_name(StrictObject& object, const char* key) {
  std::string name = object.string(key);
  if (!is_plain_file_name(name)) object.fail(key, "a file name without folders", "'" + name + "'");
  return name;
}

std::string split_name(StrictObject& object, const char* key) {
  std::string name = object.string(key);
  if (!is_split_name(name)) object.fail(key, "a split's name: 1 to 31 letters, digits, '_' or '-'", "'" + name + "'");
  return name;
}

SplitInfo read_split(StrictObject object) {
  SplitInfo split;
  split.name = split_name(object, "name");
  split.records = object.integer("records");
  split.labeled = object.boolean("labeled");
  const auto& shards = object.array("shards");
  if (shards.size() > layout::kMaxShards)
    object.fail("shards", "at most " + std::to_string(layout::kMaxShards) + " shards", std::to_string(shards.size()));
  uint64_t records = 0;
  for (size_t s = 0; s < shards.size(); ++s) {
    StrictObject entry = object.element("shards", shards, s);
    ShardSummary shard;
    shard.file = file_name(entry, "file");
    const std::string expected = shard_file_name(split.name, static_cast<uint32_t>(s));
    if (shard.file != expected) entry.fail("file", "'" + expected + "'", "'" + shard.file + "'");
    shard.bytes = entry.integer("bytes");
    shard.index_offset = entry.integer("index_offset", shard.bytes);
    shard.records = entry.integer("records", shard.index_offset / layout::kMinRecordBytes);
    shard.content = entry.hex("content");
    shard.digest = entry.hex("digest");
    entry.finish();
    records += shard.records;
    split.shards.push_back(std::move(shard));
  }
  if (records != split.records)
    object.fail("records", "the sum over its shards, " + std::to_string(records), std::to_string(split.records));
  object.finish();
  return split;
}

void read_label_sets(StrictObject& root, Manifest& manifest) {
  const auto& sets = root.array("label_sets");
  for (size_t i = 0; i < sets.size(); ++i) {
    StrictObject entry = root.element("label_sets", sets, i);
    LabelSetInfo set;
    set.name = split_name(entry, "name");
    set.file = file_name(entry, "file");
    set.split = split_name(entry, "split");
    set.digest = entry.hex("digest");
    entry.finish();
    manifest.label_sets.push_back(std::move(set));
  }
}

void read_skipped(StrictObject& root, Manifest& manifest) {
  const auto& skipped = root.array("skipped");
  for (size_t i = 0; i < skipped.size(); ++i) {
    StrictObject entry = root.element("skipped", skipped, i);
    SkippedSource source;
    source.split = entry.string("split");
    source.name = entry.string("name");
    source.reason = entry.string("reason");
    source.digest = entry.string("digest");
    if (!source.digest.empty() && !parse_hex(source.digest))
      entry.fail("digest", "16 hexadecimal digits or nothing", "'" + source.digest + "'");
    entry.finish();
    manifest.skipped.push_back(std::move(source));
  }
}

void append_u64(std::string& out, uint64_t value) {
  for (int i = 0; i < 8; ++i) out.push_back(static_cast<char>(value >> (8 * i) & 0xff));
}

void append_text(std::string& out, std::string_view text) {
  append_u64(out, text.size());
  out.append(text);
}

// One element per line.
template <typename Elements, typename Format>
std::string json_lines(const Elements& elements, const std::string& indent, Format format) {
  if (elements.empty()) return "[]";
  std::string out = "[";
  const char* comma = "";
  for (const auto& element : elements) {
    out += comma;
    out += "\n" + indent + "  " + format(element);
    comma = ",";
  }
  return out + "\n" + indent + "]";
}

std::string json_shard(const ShardSummary& shard) {
  return "{\"file\": " + json_quote(shard.file) + ", \"records\": " + std::to_string(shard.records) +
         ", \"bytes\": " + std::to_string(shard.bytes) + ", \"index_offset\": " + std::to_string(shard.index_offset) +
         ", \"content\": \"" + to_hex(shard.content) + "\", \"digest\": \"" + to_hex(shard.digest) + "\"}";
}

std::string json_split(const SplitInfo& split) {
  return "{\"name\": " + json_quote(split.name) + ", \"records\": " + std::to_string(split.records) +
         ", \"labeled\": " + (split.labeled ? "true" : "false") +
         ", \"shards\": " + json_lines(split.shards, "    ", json_shard) + "}";
}

std::string write_json(const Manifest& m) {
  std::string out = "{\n";
  const auto key = [&](const char* name, const std::string& value) {
    out += std::string("  \"") + name + "\": " + value + ",\n";
  };
  key("format", json_quote(kFormatName));
  key("format_version",
      "{\"major\": " + std::to_string(m.format_major) + ", \"minor\": " + std::to_string(m.format_minor) + "}");
  key("dataset_id", json_quote(m.dataset_id));
  key("seed", std::to_string(m.seed));
  key("plan_id", json_quote(to_hex(m.plan_id)));
  key("created_by", json_quote(m.created_by));
  key("options", json_strings(m.options));
  key("provenance", json_strings(m.provenance));
  key("index", "{\"file\": " + json_quote(m.index_file) + ", \"bytes\": " + std::to_string(m.index_bytes) +
                   ", \"plan_bytes\": " + std::to_string(m.index_plan_bytes) + ", \"digest\": \"" +
                   to_hex(m.index_digest) + "\"}");
  key("splits", json_lines(m.splits, "  ", json_split));
  key("label_sets", json_lines(m.label_sets, "  ", [](const LabelSetInfo& set) {
        return "{\"name\": " + json_quote(set.name) + ", \"file\": " + json_quote(set.file) +
               ", \"split\": " + json_quote(set.split) + ", \"digest\": \"" + to_hex(set.digest) + "\"}";
      }));
  key("skipped", json_lines(m.skipped, "  ", [](const SkippedSource& source) {
        return "{\"split\": " + json_quote(source.split) + ", \"name\": " + json_quote(source.name) +
               ", \"reason\": " + json_quote(source.reason) + ", \"digest\": " + json_quote(source.digest) + "}";
      }));
  key("classes", json_lines(m.classes, "  ", [](const ClassInfo& info) {
        return "{\"wnid\": " + json_quote(info.wnid) + ", \"names\": " + json_quote(info.names) + "}";
      }));
  return seal_json(std::move(out));
}

}  // namespace

std::string compute_dataset_id(const Manifest& manifest) {
  std::string text = "imgpack dataset 1\n";
  append_u64(text, manifest.seed);
  append_u64(text, manifest.classes.size());
  for (const ClassInfo& info : manifest.classes) append_text(text, info.wnid);
  append_u64(text, manifest.splits.size());
  for (const SplitInfo& split : manifest.splits) {
    append_text(text, split.name);
    append_u64(text, split.labeled ? 1 : 0);
    append_u64(text, split.records);
    uint64_t content = 0;
    for (const ShardSummary& shard : split.shards) content += shard.content;
    append_u64(text, content);
  }
  return to_hex(checksum(text));
}

Manifest parse_manifest(std::string_view text, const std::filesystem::path& path) {
  check_seal(text, path);
  const boost::json::value document = parse_json(text, path);
  StrictObject root(document, "", path);
  if (const std::string format = root.string("format"); format != kFormatName)
    root.fail("format", std::string("'") + kFormatName + "'", "'" + format + "'");
  Manifest manifest;
  StrictObject version = root.object("format_version");
  manifest.format_major = static_cast<uint32_t>(version.integer("major", UINT32_MAX));
  manifest.format_minor = static_cast<uint32_t>(version.integer("minor", UINT32_MAX));
  version.finish();
  if (manifest.format_major != layout::kMajor) {
    throw Error(ErrorKind::kUnsupportedVersion,
                "dataset has format version " + std::to_string(manifest.format_major) + "." +
                    std::to_string(manifest.format_minor) + ": expected version " + std::to_string(layout::kMajor),
                path, {}, "use the imgpack that wrote it, or a newer one");
  }
  if (manifest.format_minor > layout::kMinor) root.ignore_unknown_keys();
  manifest.dataset_id = to_hex(root.hex("dataset_id"));
  manifest.seed = root.integer("seed");
  manifest.plan_id = root.hex("plan_id");
  manifest.created_by = root.string("created_by");
  manifest.options = root.strings("options");
  manifest.provenance = root.strings("provenance");

  const auto& classes = root.array("classes");
  for (size_t i = 0; i < classes.size(); ++i) {
    StrictObject entry = root.element("classes", classes, i);
    manifest.classes.push_back({entry.string("wnid"), entry.string("names")});
    entry.finish();
  }
  const auto& splits = root.array("splits");
  if (splits.size() > layout::kMaxSplits)
    root.fail("splits", "at most " + std::to_string(layout::kMaxSplits) + " splits", std::to_string(splits.size()));
  std::set<std::string> names;
  for (size_t i = 0; i < splits.size(); ++i) {
    manifest.splits.push_back(read_split(root.element("splits", splits, i)));
    if (!names.insert(manifest.splits.back().name).second)
      root.fail("splits", "each split once", "'" + manifest.splits.back().name + "' twice");
  }
  read_label_sets(root, manifest);
  read_skipped(root, manifest);

  StrictObject index = root.object("index");
  manifest.index_file = file_name(index, "file");
  manifest.index_bytes = index.integer("bytes", layout::kMaxIndexBytes);
  manifest.index_plan_bytes = index.integer("plan_bytes", manifest.index_bytes);
  manifest.index_digest = index.hex("digest");
  index.finish();
  root.hex("checksum");
  root.finish();
  if (const std::string computed = compute_dataset_id(manifest); computed != manifest.dataset_id)
    root.fail("dataset_id", "the id of what the manifest describes, " + computed, manifest.dataset_id);
  return manifest;
}

Manifest read_manifest(FileSystem& fs, const std::filesystem::path& dataset) {
  const std::filesystem::path path = dataset / kManifestFile;
  if (!fs.exists(path)) {
    if (fs.exists(dataset / kReindexStateFile)) {
      throw Error(ErrorKind::kIo, "this dataset is being reindexed: expected manifest.json, found reindex.json",
                  dataset, {}, "where no imgpack reindex is running any more, the same command finishes what it began");
    }
    throw Error(ErrorKind::kIo, "there is no dataset here: expected " + std::string(kManifestFile) + " in the folder",
                dataset, {}, "imgpack build SOURCE makes one; an unfinished build is continued by the same command");
  }
  return parse_manifest(read_text(fs, path, layout::kMaxManifestBytes), path);
}

std::string to_json(const Manifest& manifest) {
  std::string text = write_json(manifest);
  try {
    parse_manifest(text, kManifestFile);
  } catch (const Error& error) {
    throw Error(ErrorKind::kInternal, std::string("cannot write a manifest that nobody could read: ") + error.what());
  }
  return text;
}

void publish_manifest(FileSystem& fs, const std::filesystem::path& dataset, const Manifest& manifest) {
  publish(fs, dataset / kManifestFile, to_json(manifest));
}

}  // namespace imgpack
