// How busy this machine is, sampled beside a training: cores and memory from /proc, GPUs from NVML where the driver is.
#pragma once

#include <boost/json/object.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
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

// Calls `report` every `interval` from a thread of its own, and never again once this is destroyed. Throws nothing:
// what cannot be read is left out, and a driver that does not answer delays nobody for more than two seconds.
class MachineWatch {
 public:
  MachineWatch(std::chrono::milliseconds interval, std::function<void(const MachineUse&)> report);
  ~MachineWatch();
  MachineWatch(const MachineWatch&) = delete;
  MachineWatch& operator=(const MachineWatch&) = delete;

 private:
  struct State;
  static void work(State& state, std::chrono::milliseconds interval,
                   const std::function<void(const MachineUse&)>& report);

  const std::shared_ptr<State> state_;
};

}  // namespace imgtrain
