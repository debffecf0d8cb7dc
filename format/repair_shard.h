// One shard of a repair: is it whole, and if not, what of it can be written anew?
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "format/file.h"
#include "format/repair.h"
#include "format/shard_index.h"
#include "format/shard_writer.h"

namespace imgpack {

// What the rest of the dataset says of a shard.
struct RepairJob {
  std::filesystem::path path;
  ShardHeader header;
  std::optional<ShardSummary> summary;            // The manifest's.
  std::optional<std::vector<std::string>> names;  // Of its records, by the dataset index.
  std::vector<std::string> skipped;               // Names in this shard's range that were skipped when it was built.
};

struct RepairOutcome {
  bool whole = false;  // It is in order now (with dry_run: it would be).
  bool rewritten = false;
  uint64_t restored = 0;  // Records packed again from the source.
  ShardSummary summary;   // If whole, and not a dry run that would rewrite it.
  std::string what_was_wrong;
  std::vector<LostRecord> lost;
  std::vector<std::string> unskipped;  // Of job.skipped: packed now.
};

// The summary of a shard that is intact to the last byte and the one that belongs here; nullopt, with `*why`, if it is
// not. Reads all of it.
std::optional<ShardSummary> intact_shard(FileSystem& fs, const RepairJob& job, std::string* why);

RepairOutcome repair_shard(FileSystem& fs, const RepairJob& job, const RepairOptions& options);

}  // namespace imgpack
