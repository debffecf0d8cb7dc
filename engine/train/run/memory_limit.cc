#include "engine/train/run/memory_limit.h"

#include <algorithm>
#include <fstream>
#include <string>

namespace imgtrain {
namespace {

// The number of KiB behind `key` in a file of `Key:   123 kB` lines, as bytes; 0: not there.
uint64_t kib_line(const char* path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);)
    if (line.rfind(key, 0) == 0) return std::stoull("0" + line.substr(line.find_first_of("0123456789"))) << 10;
  return 0;
}

}  // namespace

uint64_t peak_memory() {
  return kib_line("/proc/self/status", "VmHWM:");
}

void forget_peak_memory() {
  std::ofstream("/proc/self/clear_refs") << "5";
}

uint64_t memory_of_batch(const BatchMemory& a, const BatchMemory& b, int64_t batch) {
  const double slope = (static_cast<double>(b.bytes) - static_cast<double>(a.bytes)) /
                       static_cast<double>(std::max<int64_t>(1, b.batch - a.batch));
  const double bytes = static_cast<double>(b.bytes) + std::max(slope, 0.0) * static_cast<double>(batch - b.batch);
  return static_cast<uint64_t>(std::max(bytes, 0.0));
}

int64_t largest_batch(const BatchMemory& a, const BatchMemory& b, uint64_t limit_bytes, int64_t most) {
  int64_t low = 0, high = most;
  while (low < high) {
    const int64_t middle = low + (high - low + 1) / 2;
    if (memory_of_batch(a, b, middle) <= limit_bytes) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

}  // namespace imgtrain
