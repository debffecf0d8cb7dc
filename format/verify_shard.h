// One shard of a verification: what format/verify.cc does with each.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>

#include "format/dataset.h"
#include "format/file.h"
#include "format/shard_writer.h"
#include "format/verify.h"

namespace imgpack {

// What the rest of the dataset says of a shard. Without a manifest there is only the name of its file.
struct ShardExpectation {
  std::filesystem::path path;
  ShardHeader header;
  bool header_known = false;            // Seed, plan and count are the manifest's.
  std::optional<ShardSummary> summary;  // The manifest's.
  const SplitView* split = nullptr;     // The dataset index's, with names; nullptr where it cannot be read.
  std::optional<uint64_t> classes;      // Number of classes, where they are known.
  bool labeled = true;
};

// Shared by all shards of a verification; every member may be called from any thread.
struct VerifySinks {
  std::function<void(Damage)> report;
  std::function<void(uint64_t bytes)> before_read;  // Waits for the reading speed's sake.
  std::function<void(uint64_t bytes, uint64_t records, uint64_t images)> done;
};

// Records [first, first + records) of a split, all of one shard: sections, and that they are what the dataset index
// says.
void verify_block(FileSystem& fs, const std::filesystem::path& shard, const SplitView& split, uint64_t first,
                  uint64_t records, VerifyLevel level, const ImageCheck& image_check, const VerifySinks& sinks);

void verify_shard(FileSystem& fs, const ShardExpectation& expected, VerifyLevel level, const ImageCheck& image_check,
                  const VerifySinks& sinks);

}  // namespace imgpack
