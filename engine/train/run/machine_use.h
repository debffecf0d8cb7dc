// How busy this machine is, sampled beside a training: cores and memory from /proc, GPUs from NVML where the driver is.
#pragma once

#include <boost/json/object.hpp>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace imgtrain {

struct GpuUse {
  std::string name;
  double use = 0;  // Share of the last moment in which any kernel ran, 0 to 1.
  uint64_t memory_bytes = 0, memory_total_bytes = 0;
};

struct MachineUse {
  double cpu = 0;             // Share of all cores of the machine since the sample before, 0 to 1.
  uint64_t memory_bytes = 0;  // Of this process, resident.
  std::vector<GpuUse> gpus;
};

boost::json::object to_json(const MachineUse& use);

// Clock ticks since the machine started, from the first line of /proc/stat. nullopt: not that.
struct CpuTicks {
  uint64_t busy = 0, all = 0;
};
std::optional<CpuTicks> parse_cpu_ticks(std::string_view proc_stat);

// Calls `report` every `interval` from a thread of its own, until it is destroyed. Throws nothing: what cannot be read
// is left out.
class MachineWatch {
 public:
  MachineWatch(std::chrono::milliseconds interval, std::function<void(const MachineUse&)> report);
  ~MachineWatch();
  MachineWatch(const MachineWatch&) = delete;
  MachineWatch& operator=(const MachineWatch&) = delete;

 private:
  void work();

  const std::chrono::milliseconds interval_;
  const std::function<void(const MachineUse&)> report_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace imgtrain
