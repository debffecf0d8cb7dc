// Whether shards should stay in the page cache after they were read. A set that fits is read from the disk once and
// from memory in every later epoch; one that does not would push everything else out and still never be found there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace imgtrain::data {

enum class CacheMode {
  kAuto,    // kKeep or kDirect, by size.
  kKeep,    // Read through the page cache and leave it there.
  kDrop,    // Read through it, then let go of the pages.
  kDirect,  // Read past it (O_DIRECT); kDrop where the file system cannot.
};

std::string_view to_string(CacheMode mode);  // `auto`, `keep`, `drop`, `direct`
std::optional<CacheMode> parse_cache_mode(std::string_view text);

struct CacheDecision {
  CacheMode mode = CacheMode::kKeep;  // Never kAuto.
  std::string reason;                 // For people: a clause that follows the mode.
};

// `available_bytes`: of memory that can be had without swapping, the cache's own included.
CacheDecision decide_cache(CacheMode wanted, uint64_t data_bytes, uint64_t available_bytes);

// MemAvailable of /proc/meminfo, or what the control group of this process leaves, whichever is less. 0: unknown.
uint64_t available_memory_bytes();

}  // namespace imgtrain::data
