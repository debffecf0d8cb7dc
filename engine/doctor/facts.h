// What doctor knows of a machine, gathered by probe.h and judged by findings.h. Values only, so that tests make them
// up.
//
//   probe_machine(), probe_folder(), probe_gpus() -> Facts -> examine() -> Finding[]
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace imgtrain::doctor {

struct CpuFacts {
  std::string name = {};
  uint32_t cores = 0;      // That this process may use.
  double quota_cores = 0;  // Of the control group; 0: no limit.
  std::string simd = {};   // What the decoders run on: `AVX3` (AVX-512), `AVX2`, `SSE4`, …
  bool x86 = false;
};

struct MemoryFacts {
  uint64_t total_bytes = 0;
  uint64_t available_bytes = 0;  // Within the control group's limit.
  uint64_t limit_bytes = 0;      // Of the control group; 0: none.
  uint64_t shm_bytes = 0;        // Size of /dev/shm; 0: there is none.
  std::string huge_pages = {};   // `always`, `madvise`, `never`; empty: unknown.
};

struct LimitFacts {
  uint64_t open_files_hard = 0;  // The programs raise the soft limit by themselves.
  uint64_t memlock_bytes = 0;    // UINT64_MAX: no limit.
  std::string kernel = {};       // `6.1.0-18-amd64`
};

struct IoUringFacts {
  bool usable = false;
  int error = 0;      // errno of io_uring_setup where it is not.
  int disabled = -1;  // /proc/sys/kernel/io_uring_disabled; -1: unknown.
};

struct ClockFacts {
  int64_t now = 0;                   // Seconds since 1970.
  std::optional<bool> synchronised;  // By the kernel's word; nullopt: it does not say.
};

struct MetadataFacts {
  bool on_ec2 = false;    // By the machine's vendor.
  bool asked = false;     // false: AWS_EC2_METADATA_DISABLED.
  bool answered = false;  // A token was given (IMDSv2).
  unsigned status = 0;    // Of an answer that was none; 0: no answer.
  std::string endpoint = {};
};

struct FolderFacts {
  std::string path = {};
  std::string error = {};  // Not empty: it cannot be used at all; the rest is unknown.
  bool writable = false;
  uint64_t free_bytes = 0;
  std::string file_system = {};  // `ext4`, `nfs`, `overlay`, …; empty: unknown.
  double write_mib_s = 0;        // With fsync; 0: not measured.
  std::string write_error = {};  // Not empty: writing was begun and failed.
  double read_mib_s = 0;         // 0: not measured.
  bool past_cache = false;       // Whether reading went past the page cache.
};

struct Gpu {
  std::string name = {};
  uint64_t memory_bytes = 0;
  int capability = 0;  // 86 for 8.6.
};

struct GpuFacts {
  uint32_t devices_on_bus = 0;  // NVIDIA display or compute devices on PCI.
  std::string driver = {};      // `580.82.07` as the kernel module says; empty: not loaded.
  bool library = false;         // libcuda.so.1 could be loaded.
  int init_error = 0;           // Of cuInit.
  int cuda = 0;                 // The newest CUDA that the driver runs: 13000 for 13.0.
  std::vector<Gpu> gpus = {};   // That this process sees.
  std::string visible = {};     // CUDA_VISIBLE_DEVICES; empty: unset.
};

struct TorchFacts {
  std::string built = {};  // Version that the program was compiled against.
  uint64_t built_abi = 0, loaded_abi = 0;
  std::string path = {};     // Of the library that is loaded.
  bool cuda = false;         // A CUDA build, so that a driver matters.
  int cuda_needed = 0;       // 13000
  int nccl_built = 0;        // 22809 for 2.28.9; 0: without NCCL.
  int nccl_loaded = 0;       // 0: libnccl.so.2 cannot be loaded.
  std::string kernels = {};  // `sm_80, sm_86`: what the program's own kernels are compiled for; empty: it has none.
  int kernels_oldest = 0;    // 80
};

struct Facts {
  CpuFacts cpu;
  MemoryFacts memory;
  LimitFacts limits;
  IoUringFacts io_uring;
  ClockFacts clock;
  MetadataFacts metadata;
  std::vector<FolderFacts> folders = {};
  std::optional<GpuFacts> gpu;      // imgtrain only.
  std::optional<TorchFacts> torch;  // imgtrain only.
};

}  // namespace imgtrain::doctor
