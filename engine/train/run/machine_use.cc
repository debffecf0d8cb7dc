#include "engine/train/run/machine_use.h"

#include <dlfcn.h>
#include <unistd.h>

#include <array>
#include <boost/json/array.hpp>
#include <charconv>
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <thread>
#include <utility>

namespace imgtrain {
namespace {

// The part of NVML that is used, by its documented C interface: the library comes with the driver, so that it can only
// be looked for when the program runs.
class Nvml {
 public:
  Nvml() {
    library_ = ::dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library_ == nullptr) return;
    const bool complete = find("nvmlDeviceGetCount_v2", count_) && find("nvmlDeviceGetHandleByIndex_v2", handle_) &&
                          find("nvmlDeviceGetName", name_) && find("nvmlDeviceGetUtilizationRates", rates_) &&
                          find("nvmlDeviceGetMemoryInfo", memory_);
    int (*init)() = nullptr;
    ready_ = complete && find("nvmlInit_v2", init) && init() == 0;
  }
  ~Nvml() {
    int (*shutdown)() = nullptr;
    if (ready_ && find("nvmlShutdown", shutdown)) shutdown();
    if (library_ != nullptr) ::dlclose(library_);
  }
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  std::vector<GpuUse> sample() const {
    std::vector<GpuUse> gpus;
    unsigned count = 0;
    if (!ready_ || count_(&count) != 0) return gpus;
    for (unsigned i = 0; i < count; ++i) {
      void* device = nullptr;
      Rates rates;
      Memory memory;
      std::array<char, 96> name{};
      if (handle_(i, &device) != 0 || rates_(device, &rates) != 0) continue;
      if (name_(device, name.data(), name.size() - 1) != 0) name[0] = '\0';
      if (memory_(device, &memory) != 0) memory = {};
      gpus.push_back({name.data(), rates.gpu / 100.0, memory.used, memory.total});
    }
    return gpus;
  }

 private:
  struct Rates {
    unsigned gpu = 0, memory = 0;  // Percent.
  };
  struct Memory {
    unsigned long long total = 0, free = 0, used = 0;
  };

  template <class Function>
  bool find(const char* symbol, Function& function) const {
    function = reinterpret_cast<Function>(::dlsym(library_, symbol));
    return function != nullptr;
  }

  void* library_ = nullptr;
  bool ready_ = false;
  int (*count_)(unsigned*) = nullptr;
  int (*handle_)(unsigned, void**) = nullptr;
  int (*name_)(void*, char*, unsigned) = nullptr;
  int (*rates_)(void*, Rates*) = nullptr;
  int (*memory_)(void*, Memory*) = nullptr;
};

std::optional<CpuTicks> cpu_ticks() {
  std::ifstream file("/proc/stat");
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  return parse_cpu_ticks(line);
}

uint64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  uint64_t total = 0, resident = 0;
  if (!(file >> total >> resident)) return 0;
  return resident * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

std::optional<CpuTicks> parse_cpu_ticks(std::string_view proc_stat) {
  constexpr std::string_view kStart = "cpu ";
  constexpr int kIdle = 3, kWaiting = 4,
                kLast = 8;  // user nice system idle iowait irq softirq steal; guest is in user.
  if (proc_stat.substr(0, kStart.size()) != kStart) return std::nullopt;
  const char* at = proc_stat.data() + kStart.size();
  const char* end = proc_stat.data() + proc_stat.size();
  CpuTicks ticks;
  for (int column = 0; column < kLast; ++column) {
    while (at < end && *at == ' ') ++at;
    uint64_t value = 0;
    const auto [stop, error] = std::from_chars(at, end, value);
    if (error != std::errc()) return std::nullopt;
    at = stop;
    ticks.all += value;
    if (column != kIdle && column != kWaiting) ticks.busy += value;
  }
  return ticks;
}

boost::json::object to_json(const MachineUse& use) {
  boost::json::object out{{"cpu", use.cpu}, {"memory_bytes", use.memory_bytes}};
  boost::json::array gpus;
  for (const GpuUse& gpu : use.gpus) {
    gpus.push_back(boost::json::object{{"name", gpu.name},
                                       {"use", gpu.use},
                                       {"memory_bytes", gpu.memory_bytes},
                                       {"memory_total_bytes", gpu.memory_total_bytes}});
  }
  out["gpus"] = std::move(gpus);
  return out;
}

struct MachineWatch::State {
  std::mutex mutex;
  std::condition_variable changed;
  bool ending = false, done = false;
};

namespace {

// For a sample under way to come back; a driver that hangs is not waited for.
constexpr std::chrono::seconds kPatience{2};

}  // namespace

MachineWatch::MachineWatch(std::chrono::milliseconds interval, std::function<void(const MachineUse&)> report)
    : state_(std::make_shared<State>()) {
  std::thread([state = state_, interval, report = std::move(report)] { work(*state, interval, report); }).detach();
}

MachineWatch::~MachineWatch() {
  std::unique_lock lock(state_->mutex);
  state_->ending = true;
  state_->changed.notify_all();
  state_->changed.wait_for(lock, kPatience, [&] { return state_->done; });
}

void MachineWatch::work(State& state, std::chrono::milliseconds interval,
                        const std::function<void(const MachineUse&)>& report) {
  const Nvml nvml;
  std::optional<CpuTicks> before = cpu_ticks();
  std::unique_lock lock(state.mutex);
  while (!state.changed.wait_for(lock, interval, [&] { return state.ending; })) {
    lock.unlock();
    MachineUse use;
    const std::optional<CpuTicks> now = cpu_ticks();
    if (before && now && now->all > before->all) {
      use.cpu = static_cast<double>(now->busy - before->busy) / static_cast<double>(now->all - before->all);
    }
    before = now;
    use.memory_bytes = resident_bytes();
    use.gpus = nvml.sample();
    lock.lock();
    if (!state.ending) report(use);  // What it refers to lives as long as the watch.
  }
  state.done = true;
  state.changed.notify_all();
}

}  // namespace imgtrain
