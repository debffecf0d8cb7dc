#include "engine/train/compute_device.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <new>
#include <string>

#include "engine/data/machine.h"
#include "engine/data/numa.h"
#include "engine/train/device_count.h"
#include "engine/train/run/launch.h"
#include "format/error.h"

#ifdef IMGTRAIN_WITH_CUDA
#include <ATen/cuda/CUDAContext.h>
#include <cuda_runtime_api.h>
#endif

namespace imgtrain {
namespace {

using imgpack::Error;
using imgpack::ErrorKind;

#ifdef IMGTRAIN_WITH_CUDA
class PinnedSlots : public data::SlotAllocator {
 public:
  void* allocate(size_t bytes) override {
    void* memory = nullptr;
    if (cudaHostAlloc(&memory, bytes, cudaHostAllocDefault) != cudaSuccess) throw std::bad_alloc();
    return memory;
  }
  void release(void* memory, size_t) noexcept override { cudaFreeHost(memory); }
};
#endif

}  // namespace

int cuda_device_count() {
  return torch::cuda::is_available() ? static_cast<int>(torch::cuda::device_count()) : 0;
}

torch::Device choose_device(const RunConfig& config, int local_rank) {
  const bool have_cuda = torch::cuda::is_available();
  if (config.device == DeviceKind::kCuda && !have_cuda) {
    throw Error(ErrorKind::kUsage, "device cuda: expected a CUDA device and its driver, found none", {}, {},
                "use --device cpu, or check nvidia-smi");
  }
  if (config.device == DeviceKind::kCpu || !have_cuda) {
    if (config.precision == Precision::kFp16) {
      throw Error(ErrorKind::kUsage, "precision fp16 needs a CUDA device, and this machine has none", {}, {},
                  "add --precision bf16");
    }
    return torch::Device(torch::kCPU);
  }
  const auto devices = static_cast<int>(torch::cuda::device_count());
  if (local_rank >= devices) {
    throw Error(ErrorKind::kUsage, "expected a CUDA device for each process of this machine: process " +
                                       std::to_string(local_rank) + " of this machine finds " +
                                       std::to_string(devices) + " devices");
  }
  return torch::Device(torch::kCUDA, static_cast<c10::DeviceIndex>(local_rank));
}

namespace {

// Of the NUMA node that a CUDA device hangs on; -1: not known.
int numa_node_of(int cuda_device) {
  int node = -1;
#ifdef IMGTRAIN_WITH_CUDA
  char bus[32] = {};
  if (cudaDeviceGetPCIBusId(bus, sizeof bus, cuda_device) != cudaSuccess) return -1;
  std::string name = bus;
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  std::ifstream file("/sys/bus/pci/devices/" + name + "/numa_node");
  if (!(file >> node)) node = -1;
#else
  (void)cuda_device;
#endif
  return node;
}

// Of this process among those of its machine.
data::CoreShare core_share(torch::Device device, int local_world, int local_rank) {
  std::vector<int> gpu_node(static_cast<size_t>(local_world), -1);
  if (device.is_cuda() && data::numa_nodes().size() > 1)
    for (int rank = 0; rank < local_world; ++rank) gpu_node[static_cast<size_t>(rank)] = numa_node_of(rank);
  return data::share_cores(data::numa_nodes(), gpu_node, static_cast<uint32_t>(local_rank));
}

}  // namespace

int64_t choose_input_threads(const RunConfig& config, torch::Device device, int local_world) {
  if (config.input_threads > 0) return config.input_threads;
  const int64_t share = core_share(device, local_world, launch_from_environment().local_rank).threads;
  return device.is_cuda() ? share : std::max<int64_t>(1, share / 8);
}

Share input_share(const GradientSync& sync, torch::Device device) {
  const Launch launch = launch_from_environment();
  return {sync.rank(), sync.world(),
          device.is_cuda() ? core_share(device, launch.local_world, launch.local_rank).node : -1};
}

int64_t configure_compute(const RunConfig& config, torch::Device device, int local_world) {
  const int64_t threads =
      config.threads > 0 ? config.threads : std::max<int64_t>(1, data::usable_cores() / local_world);
  at::set_num_threads(static_cast<int>(threads));
  if (device.is_cuda()) {
    // Sizes are few and fixed: trying cuDNN's algorithms once pays for itself within the first steps.
    at::globalContext().setBenchmarkCuDNN(true);
    at::globalContext().setFloat32MatmulPrecision("high");
  }
  return threads;
}

MachineFacts machine_facts(torch::Device device, int64_t threads, int64_t world) {
  MachineFacts facts;
  facts.device = "cpu";
#ifdef IMGTRAIN_WITH_CUDA
  if (device.is_cuda()) facts.device = at::cuda::getDeviceProperties(device.index())->name;
#endif
  facts.cpu = data::cpu_name() + ", " + at::get_cpu_capability();
  facts.threads = threads;
  facts.world = world;
  return facts;
}

std::shared_ptr<data::SlotAllocator> slot_memory(torch::Device device) {
#ifdef IMGTRAIN_WITH_CUDA
  if (device.is_cuda()) return std::make_shared<PinnedSlots>();
#endif
  (void)device;
  return {&data::heap_slots(), [](data::SlotAllocator*) {}};  // A process-wide object: nobody owns it.
}

}  // namespace imgtrain
