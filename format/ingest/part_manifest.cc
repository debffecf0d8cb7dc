#include "format/ingest/part_manifest.h"

#include "format/checksum.h"
#include "format/error.h"
#include "format/layout.h"
#include "format/sealed_json.h"
#include "format/shard_codec.h"
#include "format/strict_json.h"

namespace imgpack::ingest {
namespace {

constexpr uint64_t kVersion = 1;
constexpr uint64_t kMaxPartBytes = layout::kMaxManifestBytes;

}  // namespace

std::string to_json(const PartManifest& part) {
  const Manifest& manifest = part.frame.manifest;
  std::string text =
      "{\n  \"imgpack_part\": " + std::to_string(kVersion) + ",\n  \"part\": " + std::to_string(part.part.part) +
      ",\n  \"parts\": " + std::to_string(part.part.parts) + ",\n  \"plan_id\": \"" + to_hex(manifest.plan_id) +
      "\",\n  \"seed\": " + std::to_string(manifest.seed) + ",\n  \"created_by\": " + json_quote(manifest.created_by) +
      ",\n  \"options\": " + json_strings(manifest.options) +
      ",\n  \"provenance\": " + json_strings(manifest.provenance) +
      ",\n  \"facts\": " + json_strings(part.finished.facts) + ",\n  \"splits\": [";
  const char* separator = "\n    ";
  for (size_t s = 0; s < manifest.splits.size(); ++s) {
    text += separator + ("{\"name\": " + json_quote(manifest.splits[s].name)) +
            ", \"labeled\": " + (manifest.splits[s].labeled ? "true" : "false") +
            ", \"shards\": " + std::to_string(part.frame.shards[s]) + "}";
    separator = ",\n    ";
  }
  text += "\n  ],\n  \"finished\": [";
  separator = "\n    ";
  for (const FinishedShard& shard : part.finished.finished) {
    text += separator + finished_shard_json(shard);
    separator = ",\n    ";
  }
  text += "\n  ],\n  \"classes\": [";
  separator = "\n    ";
  for (const ClassInfo& one : manifest.classes) {
    text += separator + ("{\"wnid\": " + json_quote(one.wnid)) + ", \"names\": " + json_quote(one.names) + "}";
    separator = ",\n    ";
  }
  return seal_json(text + "\n  ],\n");
}

PartManifest parse_part_manifest(std::string_view text, const std::filesystem::path& path) {
  check_seal(text, path);
  const boost::json::value value = parse_json(text, path);
  StrictObject root(value, "", path);
  if (const uint64_t version = root.integer("imgpack_part"); version != kVersion) {
    throw Error(ErrorKind::kUnsupportedVersion, "part of another version: expected 1, found " + std::to_string(version),
                path, {}, "merge with the version that built it");
  }
  PartManifest part;
  part.part.parts = static_cast<uint32_t>(root.integer("parts", kMaxParts));
  part.part.part = static_cast<uint32_t>(root.integer("part", part.part.parts));
  if (part.part.part == 0) root.fail("part", "a number from 1", "0");
  Manifest& manifest = part.frame.manifest;
  manifest.plan_id = root.hex("plan_id");
  manifest.seed = root.integer("seed");
  manifest.created_by = root.string("created_by");
  manifest.options = root.strings("options");
  manifest.provenance = root.strings("provenance");
  part.finished.plan_id = manifest.plan_id;
  part.finished.created_by = manifest.created_by;
  part.finished.facts = root.strings("facts");
  const auto& splits = root.array("splits");
  for (size_t i = 0; i < splits.size(); ++i) {
    StrictObject one = root.element("splits", splits, i);
    SplitInfo split;
    split.name = one.string("name");
    if (!is_split_name(split.name)) one.fail("name", "a split's name", "'" + split.name + "'");
    split.labeled = one.boolean("labeled");
    part.frame.shards.push_back(static_cast<uint32_t>(one.integer("shards", kMaxShards)));
    if (part.frame.shards.back() == 0) one.fail("shards", "a number from 1", "0");
    one.finish();
    manifest.splits.push_back(std::move(split));
  }
  const auto& finished = root.array("finished");
  for (size_t i = 0; i < finished.size(); ++i)
    part.finished.finished.push_back(parse_finished_shard(root.element("finished", finished, i)));
  const auto& classes = root.array("classes");
  for (size_t i = 0; i < classes.size(); ++i) {
    StrictObject one = root.element("classes", classes, i);
    std::string wnid = one.string("wnid"), names = one.string("names");
    one.finish();
    manifest.classes.push_back({std::move(wnid), std::move(names)});
  }
  root.string("checksum");
  root.finish();
  return part;
}

PartManifest read_part_manifest(FileSystem& fs, const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / kPartFile;
  if (!fs.exists(file)) {
    throw Error(ErrorKind::kIo, "no finished part is here: expected " + std::string(kPartFile) + " in the folder",
                folder, {}, "run its `imgpack build --part` again: it goes on where it stopped");
  }
  return parse_part_manifest(read_text(fs, file, kMaxPartBytes), file);
}

}  // namespace imgpack::ingest
