// build.json: what an unfinished build is and which of its shards are finished. Rewritten by rename after every shard,
// removed when the manifest is there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "format/file.h"
#include "format/ingest/pack_plan.h"
#include "format/manifest.h"
#include "format/strict_json.h"

namespace imgpack::ingest {

inline constexpr const char* kBuildStateFile = "build.json";

struct FinishedShard {
  std::string split;
  uint32_t number = 0;
  ShardSummary summary;
  std::vector<SkippedSource> skipped;
};

struct BuildState {
  uint64_t plan_id = 0;
  std::string created_by;
  std::map<std::string, std::string> facts;  // Options, and what the source had: see plan_facts().
  std::vector<FinishedShard> finished;

  const FinishedShard* find(std::string_view split, uint32_t number) const;
};

// The options and, for each split, images and bytes of the source, as text: what two builds are compared by.
std::map<std::string, std::string> plan_facts(const PackPlan& plan, const PackOptions& options);

// The same as far as a finished dataset tells it.
std::map<std::string, std::string> manifest_facts(const Manifest& manifest);

// `seed: 7 there, 0 now`, one line per difference; keys that only one of them has are compared too.
std::vector<std::string> differences(const std::map<std::string, std::string>& there,
                                     const std::map<std::string, std::string>& now);

// Each line on one of its own, indented, for the end of an error's message.
std::string joined_lines(const std::vector<std::string>& lines);

// One finished shard as a JSON object, for files that list them.
std::string finished_shard_json(const FinishedShard& shard);
FinishedShard parse_finished_shard(StrictObject object);

std::string to_json(const BuildState& state);
// Throws Error(kCorruption) naming the place, Error(kUnsupportedVersion).
BuildState parse_build_state(std::string_view text, const std::filesystem::path& path);
// The same of a file of at most kMaxBuildStateBytes. Throws Error(kIo), too.
inline constexpr uint64_t kMaxBuildStateBytes = 1ull << 30;
BuildState read_build_state(FileSystem& fs, const std::filesystem::path& file);

}  // namespace imgpack::ingest
