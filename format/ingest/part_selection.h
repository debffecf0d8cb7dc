// Which share of the shards this build packs: `--part 2/8` on the second of eight hosts.
//
//   shards of a split   0 1 2 3 | 4 5 6 7 | …     part k has those that begin in the k-th of n equal ranges of the key
//
// A pure function of the shard's number and count, so that no two hosts have to talk.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace imgpack::ingest {

inline constexpr uint32_t kMaxParts = 65536;

struct PartSelection {
  uint32_t part = 1;  // From 1.
  uint32_t parts = 1;

  bool owns(uint32_t shard, uint32_t shards) const;
  // Whether a record with this key can be in a shard of this part, where there are at least `least_shards` of them.
  bool may_own(uint64_t key, uint32_t least_shards) const;
  std::string text() const;  // `2/8`
  bool operator==(const PartSelection&) const = default;
};

// `2/8`; `auto`: the place of this task in a Slurm job array, from SLURM_ARRAY_TASK_ID, _MIN, _COUNT and _STEP;
// `auto/8`: the same, or that of an AWS Batch array job of 8, from AWS_BATCH_JOB_ARRAY_INDEX. `environment` looks a
// variable up. Throws Error(kUsage).
PartSelection parse_part(const std::string& text,
                         const std::function<std::optional<std::string>(const char*)>& environment);

}  // namespace imgpack::ingest
