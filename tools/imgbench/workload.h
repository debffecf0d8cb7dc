// A workload: one thing that is worth timing, with a check of its own answer.
//
//   table (workloads.cc) --make--> Workload --check(), then run() again and again--> Measurement (measure.h) --> report
//
// To add one: write a file NAME_workload.cc with a function that returns its WorkloadEntry, declare the function in
// workloads.h and name it in the table of workloads.cc.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace imgbench {

// What the command line says of all workloads.
struct BenchSettings {
  std::filesystem::path shards;  // A dataset of ours. Empty: none given.
  std::string split = "train";
  std::filesystem::path source;     // A folder of raw images. Empty: none given.
  std::filesystem::path temporary;  // An empty folder that may be filled; removed afterwards.
  uint32_t threads = 1;
  uint64_t images = 1000;  // At most so many of the split in one run(), where a workload can choose.
  uint32_t size = 224;     // Of decoded images.
  uint32_t batch = 128;
  bool reference_decoder = false;
};

// What one run() did.
struct Work {
  uint64_t items = 0;  // In the unit of the WorkloadEntry.
  uint64_t bytes = 0;  // Read or written, as the workload says.
};

class Workload {
 public:
  virtual ~Workload() = default;
  // Runs once and looks at the answer; nothing is timed. Returns what was checked, in a few words. Throws
  // imgpack::Error where the answer is wrong: a fast wrong answer is not reported.
  virtual std::string check() = 0;
  virtual Work run() = 0;
  // What lies under run() on disk: evicted from the page cache before every repetition with --cache cold.
  virtual std::vector<std::filesystem::path> files() const { return {}; }
};

enum class Needs { kNothing, kShards, kSource };

struct WorkloadEntry {
  std::string name;     // `pipeline`
  std::string summary;  // One line without a full stop.
  std::string unit;     // Of Work::items: `images`
  Needs needs = Needs::kNothing;
  std::function<std::unique_ptr<Workload>(const BenchSettings&)> make;
  bool only_by_name = false;  // Takes minutes or gigabytes: left out of a run that names no workload.
};

}  // namespace imgbench
