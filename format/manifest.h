// The manifest ties shards together into a dataset: manifest.json, written last, by rename. No manifest, no dataset.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "format/file.h"
#include "format/shard_writer.h"

namespace imgpack {

struct ClassInfo {
  std::string wnid;   // The folder name of the class: `n01440764`, or whatever a class-folder tree calls it.
  std::string names;  // Human names, empty where none are known.
};

// A set of labels beside those of the records: `labels-NAME.json` in the dataset folder. ReaL has several per image.
struct LabelSetInfo {
  std::string name;  // `real`
  std::string file;
  std::string split;
  uint64_t digest = 0;
};

struct SplitInfo {
  std::string name;  // `train`, `val`, `test`
  uint64_t records = 0;
  bool labeled = true;
  std::vector<ShardSummary> shards;
};

// An image that could not be packed. Never dropped silently.
struct SkippedSource {
  std::string split;
  std::string name;
  std::string reason;
  std::string digest;  // XXH3-64 of the source bytes in hex, empty if they could not be read.
};

struct Manifest {
  uint32_t format_major = 1;
  uint32_t format_minor = 0;
  // Hex digest of the logical content: names, labels, image bytes, classes, order. Not of zstd's output, nor of shard
  // borders. Set it from compute_dataset_id() last; what does not match is neither written nor read.
  std::string dataset_id;
  uint64_t seed = 0;
  uint64_t plan_id = 0;
  std::string created_by;                         // `imgpack 0.1.0`
  std::map<std::string, std::string> options;     // Every packing option that has a say in the bytes.
  std::map<std::string, std::string> provenance;  // Source kind, label sources compared, policies.
  std::vector<ClassInfo> classes;                 // Position = label.
  std::vector<SplitInfo> splits;
  std::vector<LabelSetInfo> label_sets;
  std::vector<SkippedSource> skipped;
  std::string index_file;  // The dataset-level index.
  uint64_t index_bytes = 0;
  uint64_t index_plan_bytes = 0;  // Of its beginning: all that a reader without names needs.
  uint64_t index_digest = 0;      // The checksum that ends its head, which holds the checksum of everything behind it.
};

inline constexpr const char* kManifestFile = "manifest.json";

std::string compute_dataset_id(const Manifest& manifest);

// All throw Error(kCorruption) naming the JSON path that is wrong, or Error(kUnsupportedVersion). read_manifest throws
// Error(kIo) where there is no manifest.
Manifest read_manifest(FileSystem& fs, const std::filesystem::path& dataset);
Manifest parse_manifest(std::string_view text, const std::filesystem::path& path);

// Deterministic, one shard or class per line, the checksum of the rest as its last key. Throws Error(kInternal) for a
// manifest that parse_manifest would refuse.
std::string to_json(const Manifest& manifest);
void publish_manifest(FileSystem& fs, const std::filesystem::path& dataset, const Manifest& manifest);

}  // namespace imgpack
