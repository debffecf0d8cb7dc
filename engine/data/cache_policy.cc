#include "engine/data/cache_policy.h"

#include <algorithm>
#include <array>
#include <fstream>

#include "format/quantity_text.h"

namespace imgtrain::data {
namespace {

struct Named {
  CacheMode mode;
  std::string_view name;
};
constexpr std::array<Named, 4> kModes = {{{CacheMode::kAuto, "auto"},
                                          {CacheMode::kKeep, "keep"},
                                          {CacheMode::kDrop, "drop"},
                                          {CacheMode::kDirect, "direct"}}};

// The rest is for everything else that lives on the machine.
constexpr double kShareOfMemory = 0.75;

std::optional<uint64_t> number_in(const char* path) {
  std::ifstream file(path);
  uint64_t value = 0;
  if (file >> value) return value;
  return std::nullopt;
}

}  // namespace

std::string_view to_string(CacheMode mode) {
  for (const Named& named : kModes) {
    if (named.mode == mode) return named.name;
  }
  return "?";
}

std::optional<CacheMode> parse_cache_mode(std::string_view text) {
  for (const Named& named : kModes) {
    if (named.name == text) return named.mode;
  }
  return std::nullopt;
}

CacheDecision decide_cache(CacheMode wanted, uint64_t data_bytes, uint64_t available_bytes) {
  if (wanted != CacheMode::kAuto) return {wanted, "as asked for"};
  const std::string sizes = imgpack::format_bytes(data_bytes) + " of shards, " +
                            imgpack::format_bytes(available_bytes) + " of memory available";
  if (available_bytes == 0) return {CacheMode::kKeep, "the available memory is not known"};
  if (static_cast<double>(data_bytes) <= kShareOfMemory * static_cast<double>(available_bytes))
    return {CacheMode::kKeep, sizes + ": later epochs are read from memory"};
  return {CacheMode::kDirect, sizes + ": every epoch is read from the disk"};
}

uint64_t available_memory_bytes() {
  uint64_t available = 0;
  std::ifstream info("/proc/meminfo");
  for (std::string name; info >> name;) {
    uint64_t kib = 0;
    if (name == "MemAvailable:" && info >> kib) available = kib << 10;
  }
  // What a container may use, less what it uses now other than file pages, which give way.
  const auto limit = number_in("/sys/fs/cgroup/memory.max"), used = number_in("/sys/fs/cgroup/memory.current");
  if (limit.has_value() && used.has_value()) {
    uint64_t file_bytes = 0;
    std::ifstream stat("/sys/fs/cgroup/memory.stat");
    for (std::string name; stat >> name;) {
      uint64_t value = 0;
      if (!(stat >> value)) break;
      if (name == "file") file_bytes = value;
    }
    const uint64_t taken = *used > file_bytes ? *used - file_bytes : 0;
    const uint64_t left = *limit > taken ? *limit - taken : 0;
    available = available == 0 ? left : std::min(available, left);
  }
  return available;
}

}  // namespace imgtrain::data
