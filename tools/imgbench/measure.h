// Repetitions of a workload and what they say.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "tools/imgbench/workload.h"

namespace imgbench {

struct Repetition {
  double wall_seconds = 0;
  double cpu_seconds = 0;  // User and system, of all threads of this process.
  Work work;
};

struct Measurement {
  const WorkloadEntry* entry = nullptr;
  std::string checked;  // What the warm-up found right.
  std::vector<Repetition> repetitions;
};

struct Spread {
  double median = 0, min = 0, max = 0;
};

// REQUIRES: values is not empty.
Spread spread_of(std::vector<double> values);

Spread items_per_second(const Measurement& measurement);
Spread items_per_cpu_second(const Measurement& measurement);
Spread bytes_per_second(const Measurement& measurement);

// Calls run() until `min_seconds` have passed.
Repetition measure_once(Workload& workload, double min_seconds);

// Asks the kernel to forget the pages of these files. Dirty pages are written out first.
void evict(const std::vector<std::filesystem::path>& files);

}  // namespace imgbench
