// What NVIDIA's driver says of itself and of its devices, by a handful of functions of its C interface: no CUDA header,
// library or toolkit is needed for it.
#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "engine/doctor/probe.h"

namespace imgtrain::doctor {
namespace {

// CUdevice_attribute of cuda.h.
constexpr int kCapabilityMajor = 75;
constexpr int kCapabilityMinor = 76;
constexpr int kMostGpus = 64;

template <typename Function>
Function* symbol(void* library, const char* name) {
  return reinterpret_cast<Function*>(dlsym(library, name));
}

uint32_t devices_on_bus() {
  uint32_t count = 0;
  std::error_code failure;
  for (std::filesystem::directory_iterator at("/sys/bus/pci/devices", failure), end; !failure && at != end;
       at.increment(failure)) {
    std::string vendor, kind;
    std::ifstream(at->path() / "vendor") >> vendor;
    std::ifstream(at->path() / "class") >> kind;
    // 0300 VGA, 0302 3D controller.
    if (vendor == "0x10de" && (kind.starts_with("0x0300") || kind.starts_with("0x0302"))) ++count;
  }
  return count;
}

// `NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.82.07  …`: the first word of digits and full stops.
std::string driver_version() {
  std::ifstream file("/proc/driver/nvidia/version");
  std::string line;
  std::getline(file, line);
  std::istringstream words(line);
  for (std::string word; words >> word;)
    if (word.find('.') != std::string::npos && word.find_first_not_of("0123456789.") == std::string::npos) return word;
  return {};
}

void ask_devices(void* library, GpuFacts& facts) {
  const auto init = symbol<int(unsigned)>(library, "cuInit");
  const auto version = symbol<int(int*)>(library, "cuDriverGetVersion");
  const auto count = symbol<int(int*)>(library, "cuDeviceGetCount");
  const auto get = symbol<int(int*, int)>(library, "cuDeviceGet");
  const auto name = symbol<int(char*, int, int)>(library, "cuDeviceGetName");
  const auto memory = symbol<int(size_t*, int)>(library, "cuDeviceTotalMem_v2");
  const auto attribute = symbol<int(int*, int, int)>(library, "cuDeviceGetAttribute");
  if (!init || !version || !count || !get || !name || !memory || !attribute) return;
  version(&facts.cuda);
  facts.init_error = init(0);
  int devices = 0;
  if (facts.init_error != 0 || count(&devices) != 0) return;
  for (int i = 0; i < std::min(devices, kMostGpus); ++i) {
    int device = 0, major = 0, minor = 0;
    char text[256] = {};
    size_t bytes = 0;
    if (get(&device, i) != 0 || name(text, sizeof(text) - 1, device) != 0) continue;
    memory(&bytes, device);
    attribute(&major, kCapabilityMajor, device);
    attribute(&minor, kCapabilityMinor, device);
    facts.gpus.push_back({text, bytes, major * 10 + minor});
  }
}

}  // namespace

GpuFacts probe_gpus() {
  GpuFacts facts;
  facts.devices_on_bus = devices_on_bus();
  facts.driver = driver_version();
  if (const char* visible = std::getenv("CUDA_VISIBLE_DEVICES")) facts.visible = *visible == 0 ? "(empty)" : visible;
  // Stays loaded: its threads may outlive a dlclose().
  if (void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL)) {
    facts.library = true;
    ask_devices(library, facts);
  }
  return facts;
}

int probe_nccl() {
  void* library = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return 0;
  const auto get = symbol<int(int*)>(library, "ncclGetVersion");
  int version = 0;
  return get != nullptr && get(&version) == 0 ? version : 0;
}

}  // namespace imgtrain::doctor
