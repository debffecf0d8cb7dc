#include "format/ingest/build_state.h"

#include <algorithm>

#include "format/checksum.h"
#include "format/error.h"
#include "format/sealed_json.h"
#include "format/strict_json.h"

namespace imgpack::ingest {
namespace {

constexpr uint64_t kVersion = 1;

std::string skipped_json(const std::vector<SkippedSource>& skipped) {
  std::string text = "[";
  for (const SkippedSource& one : skipped) {
    text += (text.size() == 1 ? "" : ", ");
    text += "{\"name\": " + json_quote(one.name) + ", \"reason\": " + json_quote(one.reason) +
            ", \"digest\": " + json_quote(one.digest) + "}";
  }
  return text + "]";
}

}  // namespace

std::string finished_shard_json(const FinishedShard& shard) {
  const ShardSummary& s = shard.summary;
  return "{\"split\": " + json_quote(shard.split) + ", \"number\": " + std::to_string(shard.number) +
         ", \"file\": " + json_quote(s.file) + ", \"records\": " + std::to_string(s.records) +
         ", \"bytes\": " + std::to_string(s.bytes) + ", \"index_offset\": " + std::to_string(s.index_offset) +
         ", \"content\": \"" + to_hex(s.content) + "\", \"digest\": \"" + to_hex(s.digest) +
         "\", \"skipped\": " + skipped_json(shard.skipped) + "}";
}

FinishedShard parse_finished_shard(StrictObject object) {
  FinishedShard shard;
  shard.split = object.string("split");
  shard.number = static_cast<uint32_t>(object.integer("number", kMaxShards));
  shard.summary.file = object.string("file");
  shard.summary.records = object.integer("records");
  shard.summary.bytes = object.integer("bytes");
  shard.summary.index_offset = object.integer("index_offset");
  shard.summary.content = object.hex("content");
  shard.summary.digest = object.hex("digest");
  const auto& skipped = object.array("skipped");
  for (size_t i = 0; i < skipped.size(); ++i) {
    StrictObject one = object.element("skipped", skipped, i);
    // In this order whatever the compiler thinks of argument lists.
    std::string name = one.string("name"), reason = one.string("reason"), digest = one.string("digest");
    one.finish();
    shard.skipped.push_back({shard.split, std::move(name), std::move(reason), std::move(digest)});
  }
  object.finish();
  return shard;
}

const FinishedShard* BuildState::find(std::string_view split, uint32_t number) const {
  const auto at = std::find_if(finished.begin(), finished.end(), [&](const FinishedShard& shard) {
    return shard.number == number && shard.split == split;
  });
  return at == finished.end() ? nullptr : &*at;
}

std::map<std::string, std::string> plan_facts(const PackPlan& plan, const PackOptions& options) {
  std::map<std::string, std::string> facts = option_texts(options);
  for (const PlannedSplit& split : plan.splits) {
    facts["images of " + split.name] = std::to_string(split.order.size());
    facts["shards of " + split.name] = std::to_string(split.shards());
  }
  return facts;
}

std::map<std::string, std::string> manifest_facts(const Manifest& manifest) {
  std::map<std::string, std::string> facts = manifest.options;
  for (const SplitInfo& split : manifest.splits) {
    const auto skipped = std::count_if(manifest.skipped.begin(), manifest.skipped.end(),
                                       [&](const SkippedSource& one) { return one.split == split.name; });
    facts["images of " + split.name] = std::to_string(split.records + static_cast<uint64_t>(skipped));
    facts["shards of " + split.name] = std::to_string(split.shards.size());
  }
  return facts;
}

std::vector<std::string> differences(const std::map<std::string, std::string>& there,
                                     const std::map<std::string, std::string>& now) {
  std::map<std::string, std::pair<std::string, std::string>> both;
  for (const auto& [key, value] : there) both[key] = {value, "none"};
  for (const auto& [key, value] : now) {
    const auto at = both.find(key);
    if (at == both.end()) {
      both[key] = {"none", value};
    } else {
      at->second.second = value;
    }
  }
  std::vector<std::string> lines;
  for (const auto& [key, values] : both) {
    if (values.first != values.second) lines.push_back(key + ": " + values.first + " there, " + values.second + " now");
  }
  return lines;
}

std::string joined_lines(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += "\n  " + line;
  return text;
}

std::string to_json(const BuildState& state) {
  std::string text = "{\n  \"imgpack_build\": " + std::to_string(kVersion) + ",\n  \"plan_id\": \"" +
                     to_hex(state.plan_id) + "\",\n  \"created_by\": " + json_quote(state.created_by) +
                     ",\n  \"facts\": " + json_strings(state.facts) + ",\n  \"finished\": [";
  const char* separator = "\n    ";
  for (const FinishedShard& shard : state.finished) {
    text += separator + finished_shard_json(shard);
    separator = ",\n    ";
  }
  return seal_json(text + "\n  ],\n");
}

BuildState parse_build_state(std::string_view text, const std::filesystem::path& path) {
  check_seal(text, path);
  const boost::json::value value = parse_json(text, path);
  StrictObject root(value, "", path);
  if (const uint64_t version = root.integer("imgpack_build"); version != kVersion) {
    throw Error(ErrorKind::kUnsupportedVersion,
                "build state of another version: expected 1, found " + std::to_string(version), path, {},
                "finish the build with the version that began it, or begin anew with --fresh");
  }
  BuildState state;
  state.plan_id = root.hex("plan_id");
  state.created_by = root.string("created_by");
  state.facts = root.strings("facts");
  const auto& finished = root.array("finished");
  for (size_t i = 0; i < finished.size(); ++i)
    state.finished.push_back(parse_finished_shard(root.element("finished", finished, i)));
  root.string("checksum");
  root.finish();
  return state;
}

BuildState read_build_state(FileSystem& fs, const std::filesystem::path& file) {
  return parse_build_state(read_text(fs, file, kMaxBuildStateBytes), file);
}

}  // namespace imgpack::ingest
