#include "engine/doctor/findings.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <limits>

#include "format/quantity_text.h"

namespace imgtrain::doctor {
namespace {

constexpr uint64_t kMib = uint64_t{1} << 20;
constexpr uint64_t kGib = uint64_t{1} << 30;

// Blocks, slots and a small network at the defaults (docs/input-pipeline.md) with room for the program itself.
constexpr uint64_t kLittleMemory = 2 * kGib;
constexpr uint64_t kTooLittleMemory = kGib / 2;
// Archives are read into several hundred spill files at once.
constexpr uint64_t kFewFiles = 1024;
constexpr uint64_t kEnoughFiles = 4096;
// NCCL maps a few MiB per pair of ranks; containers have 64 MiB by default.
constexpr uint64_t kSmallShm = 512 * kMib;
// Of an image of ImageNet, on average.
constexpr double kImageKib = 110;
constexpr double kSlowDiskMibS = 60;
// Below this the clock is older than the program.
constexpr int64_t kProgramIsFrom = 1764547200;  // 2025-12-01
// The oldest devices of CUDA 13.
constexpr int kOldestCapability = 75;

std::string cuda_version(int number) {
  return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
}

std::string nccl_version(int number) {
  return std::to_string(number / 10000) + "." + std::to_string(number / 100 % 100) + "." + std::to_string(number % 100);
}

// `6.1.0-18-amd64` -> 601; 0: not understood.
int kernel_number(const std::string& release) {
  int major = 0, minor = 0;
  return std::sscanf(release.c_str(), "%d.%d", &major, &minor) == 2 ? major * 100 + std::min(minor, 99) : 0;
}

class Examination {
 public:
  explicit Examination(const Facts& facts) : facts_(facts) {}

  std::vector<Finding> run() {
    cpu();
    memory();
    limits();
    io_uring();
    clock();
    metadata();
    for (const FolderFacts& folder : facts_.folders) this->folder(folder);
    if (facts_.gpu) gpu(*facts_.gpu);
    if (facts_.torch) torch(*facts_.torch);
    return std::move(findings_);
  }

 private:
  void add(const char* check, Level level, std::string what, std::string fix = {}) {
    findings_.push_back({check, level, std::move(what), std::move(fix)});
  }

  size_t gpus() const { return facts_.gpu ? facts_.gpu->gpus.size() : 0; }

  void cpu() {
    const CpuFacts& cpu = facts_.cpu;
    const std::string cores = std::to_string(cpu.cores) + (cpu.cores == 1 ? " core" : " cores");
    if (cpu.quota_cores > 0 && cpu.quota_cores < cpu.cores) {
      char quota[40];
      std::snprintf(quota, sizeof(quota), "%.1f", cpu.quota_cores);
      add("cpu.cores", Level::kWarning,
          cores + " are visible, but the control group gives the time of " + quota +
              ": threads will wait for each other",
          "give the container more (docker run --cpus), or run with --threads " +
              std::to_string(std::max(1, static_cast<int>(cpu.quota_cores))));
    } else {
      add("cpu.cores", Level::kOk, cores + " of " + cpu.name);
    }
    if (cpu.simd.starts_with("AVX3")) {
      add("cpu.simd", Level::kOk, "images are decoded with AVX-512 (" + cpu.simd + ")");
    } else if (cpu.simd == "AVX2" || (!cpu.x86 && cpu.simd != "SCALAR" && cpu.simd != "EMU128")) {
      add("cpu.simd", Level::kOk, "images are decoded with " + cpu.simd);
    } else {
      add("cpu.simd", Level::kWarning,
          "images are decoded with " + (cpu.simd.empty() ? "no SIMD" : cpu.simd) + ": slower than with AVX2",
          "take a machine of 2015 or later; in a virtual one, pass the host's CPU through (qemu -cpu host)");
    }
  }

  void memory() {
    const MemoryFacts& memory = facts_.memory;
    std::string what = imgpack::format_bytes(memory.available_bytes) + " of " +
                       imgpack::format_bytes(memory.total_bytes) + " are available";
    if (memory.limit_bytes > 0 && memory.limit_bytes < memory.total_bytes)
      what += ", the control group's limit is " + imgpack::format_bytes(memory.limit_bytes);
    if (memory.available_bytes < kTooLittleMemory) {
      add("memory.available", Level::kProblem, what, "end other programs, or give the container more (docker run -m)");
    } else if (memory.available_bytes < kLittleMemory) {
      add("memory.available", Level::kWarning, what + ": little for training, whose input alone takes about 0.5 GiB",
          "end other programs, or train with --slots 2 and a smaller --batch");
    } else {
      add("memory.available", Level::kOk, what);
    }
    if (memory.shm_bytes < kSmallShm && gpus() > 1) {
      add("memory.shm", Level::kProblem,
          "/dev/shm has " + std::to_string(memory.shm_bytes / kMib) +
              " MiB: NCCL exchanges gradients of several GPUs through it",
          "docker run --shm-size=8g, or mount -o remount,size=8G /dev/shm");
    } else {
      add("memory.shm", Level::kOk,
          "/dev/shm has " + imgpack::format_bytes(memory.shm_bytes) + "; only NCCL between several GPUs uses it");
    }
    if (memory.huge_pages == "never")
      add("memory.huge_pages", Level::kNote, "transparent huge pages are off: large buffers cost more page faults",
          "echo madvise >/sys/kernel/mm/transparent_hugepage/enabled");
  }

  void limits() {
    const LimitFacts& limits = facts_.limits;
    const std::string what = std::to_string(limits.open_files_hard) + " files may be open at once";
    if (limits.open_files_hard < kFewFiles) {
      add("limits.open_files", Level::kProblem, what + ": building from an archive needs several hundred",
          "ulimit -n 8192, or LimitNOFILE=8192 in the unit, or docker run --ulimit nofile=8192");
    } else if (limits.open_files_hard < kEnoughFiles) {
      add("limits.open_files", Level::kNote, what + ": enough for one build",
          "ulimit -n 8192, or docker run --ulimit nofile=8192");
    } else {
      add("limits.open_files", Level::kOk, what);
    }
  }

  void io_uring() {
    const IoUringFacts& ring = facts_.io_uring;
    if (ring.usable) {
      add("io_uring", Level::kOk, "shards are read through io_uring");
      return;
    }
    std::string reason = std::strerror(ring.error), fix;
    if (ring.disabled == 2 || (ring.disabled == 1 && ring.error == EPERM)) {
      reason = "the setting kernel.io_uring_disabled is " + std::to_string(ring.disabled);
      fix = "sysctl kernel.io_uring_disabled=0";
    } else if (ring.error == ENOSYS) {
      reason = "kernel " + facts_.limits.kernel + " has none";
      if (kernel_number(facts_.limits.kernel) >= 501) reason = "a sandbox hides it";
      fix = "Linux 5.10 or later, or a container whose seccomp profile allows io_uring";
    } else if (ring.error == EPERM || ring.error == EACCES) {
      fix = "a seccomp profile that allows io_uring_setup (docker run --security-opt seccomp=FILE)";
    } else if (ring.error == ENOMEM) {
      fix = facts_.limits.memlock_bytes == std::numeric_limits<uint64_t>::max()
                ? "free memory"
                : "ulimit -l 65536: before Linux 5.12 rings count as locked memory, and " +
                      std::to_string(facts_.limits.memlock_bytes / 1024) + " KiB are allowed";
    }
    add("io_uring", Level::kNote, "shards are read by four threads instead of io_uring: " + reason, fix);
  }

  void clock() {
    const ClockFacts& clock = facts_.clock;
    if (clock.now < kProgramIsFrom) {
      add("clock", Level::kProblem, "the clock is before this program was made: signed requests to AWS will be refused",
          "timedatectl set-ntp true");
    } else if (clock.synchronised == false) {
      add("clock", Level::kWarning,
          "nothing keeps the clock right: AWS refuses requests from five minutes off, and logs of machines disagree",
          "timedatectl set-ntp true (systemd-timesyncd or chrony)");
    } else {
      add("clock", Level::kOk, clock.synchronised ? "the clock is synchronised" : "the clock is plausible");
    }
  }

  void metadata() {
    const MetadataFacts& metadata = facts_.metadata;
    if (!metadata.asked) {
      add("metadata", metadata.on_ec2 ? Level::kWarning : Level::kOk,
          std::string("the instance metadata service is not asked: AWS_EC2_METADATA_DISABLED") +
              (metadata.on_ec2 ? "; an interruption of this machine will come unannounced" : ""),
          metadata.on_ec2 ? "unset AWS_EC2_METADATA_DISABLED" : "");
    } else if (metadata.answered) {
      add("metadata", Level::kOk, "the instance metadata service answers: interruption notices will be seen");
    } else if (metadata.on_ec2) {
      add("metadata", Level::kProblem,
          "this is an EC2 machine, but its metadata service at " + metadata.endpoint +
              (metadata.status == 0 ? " does not answer" : " answers with status " + std::to_string(metadata.status)) +
              ": an interruption will come unannounced",
          "aws ec2 modify-instance-metadata-options --instance-id ID --http-endpoint enabled "
          "--http-put-response-hop-limit 2 (2: for containers)");
    } else {
      add("metadata", Level::kOk, "no instance metadata service: not an EC2 machine");
    }
  }

  void folder(const FolderFacts& folder) {
    if (!folder.error.empty()) {
      add("folder", Level::kProblem, folder.path + ": " + folder.error, "name a folder that exists and can be read");
      return;
    }
    const std::string kind = folder.file_system.empty() ? "" : " (" + folder.file_system + ")";
    if (!folder.writable) {
      add("folder.writable", Level::kNote,
          folder.path + kind + " cannot be written: good for training, not for building",
          "chown it, or mount it read-write");
    } else if (folder.free_bytes < kGib) {
      add("folder.space", Level::kWarning,
          folder.path + kind + " has " + imgpack::format_bytes(folder.free_bytes) + " free",
          "free some: imgpack plan SOURCE says how much a build takes");
    } else {
      add("folder.space", Level::kOk,
          folder.path + kind + " has " + imgpack::format_bytes(folder.free_bytes) + " free");
    }
    char text[200];
    if (!folder.write_error.empty()) {
      add("folder.write", Level::kProblem, folder.path + ": writing fails: " + folder.write_error,
          "a quota (quota -s, ulimit -f), a full or failing disk (df -h, dmesg): build and train elsewhere until it is "
          "gone");
    } else if (folder.write_mib_s > 0) {
      std::snprintf(text, sizeof(text), "%.0f MiB/s written and synced", folder.write_mib_s);
      add("folder.write", Level::kOk, folder.path + ": " + text);
    }
    if (folder.read_mib_s <= 0) return;
    const double images = folder.read_mib_s * 1024 / kImageKib;
    std::snprintf(text, sizeof(text), "%.0f MiB/s read%s: at most %.0f images of ImageNet a second", folder.read_mib_s,
                  folder.past_cache ? "" : " through the page cache (so perhaps from memory)", images);
    if (folder.read_mib_s < kSlowDiskMibS && folder.past_cache) {
      add("folder.read", Level::kWarning, folder.path + ": " + text,
          "a faster volume, imgtrain --cache-dir on a local disk, or smaller images (imgpack build --resize-max 500)");
    } else {
      add("folder.read", Level::kOk, folder.path + ": " + text);
    }
  }

  void gpu(const GpuFacts& gpu) {
    const bool needs_cuda = facts_.torch && facts_.torch->cuda;
    if (gpu.devices_on_bus == 0 && gpu.driver.empty() && gpu.gpus.empty()) {
      add("gpu", Level::kNote, "no NVIDIA GPU: training runs on the CPU");
      return;
    }
    if (gpu.driver.empty() && !gpu.library) {
      add("gpu.driver", Level::kProblem, "there is an NVIDIA GPU, but its driver is not loaded",
          "install driver 580 or later (Debian: apt install nvidia-driver from NVIDIA's repository), then modprobe "
          "nvidia");
      return;
    }
    if (!gpu.library) {
      add("gpu.driver", Level::kProblem,
          "driver " + gpu.driver + " is loaded, but libcuda.so.1 is not here: most likely a container without the GPU",
          "docker run --gpus all with the NVIDIA Container Toolkit on the host");
      return;
    }
    if (gpu.init_error != 0) {
      add("gpu.driver", Level::kProblem, "CUDA cannot be started: error " + std::to_string(gpu.init_error),
          init_fix(gpu.init_error));
      return;
    }
    if (needs_cuda && gpu.cuda < facts_.torch->cuda_needed) {
      add("gpu.driver", Level::kProblem,
          "driver " + gpu.driver + " runs CUDA up to " + cuda_version(gpu.cuda) + ", this program needs " +
              cuda_version(facts_.torch->cuda_needed),
          "install driver 580 or later, then restart");
    } else {
      add("gpu.driver", Level::kOk, "driver " + gpu.driver + " runs CUDA " + cuda_version(gpu.cuda));
    }
    if (gpu.gpus.empty()) {
      add("gpu.devices", Level::kProblem,
          "no GPU is visible to this process" +
              (gpu.visible.empty() ? std::string() : ": CUDA_VISIBLE_DEVICES is '" + gpu.visible + "'"),
          gpu.visible.empty() ? "nvidia-smi -L lists them; docker run --gpus all" : "unset CUDA_VISIBLE_DEVICES");
    }
    for (size_t i = 0; i < gpu.gpus.size(); ++i) {
      const Gpu& device = gpu.gpus[i];
      const std::string what = "GPU " + std::to_string(i) + ": " + device.name + ", " +
                               imgpack::format_bytes(device.memory_bytes) + ", compute capability " +
                               std::to_string(device.capability / 10) + "." + std::to_string(device.capability % 10);
      if (needs_cuda && device.capability < kOldestCapability) {
        add("gpu.devices", Level::kProblem, what + ": CUDA 13 runs on 7.5 (Turing) and later",
            "take a newer GPU, or --device cpu");
      } else {
        add("gpu.devices", Level::kOk, what);
      }
    }
    if (facts_.torch && !facts_.torch->cuda)
      add("gpu.torch", Level::kWarning, "this libtorch has no CUDA: the GPU stays idle",
          "point IMGTRAIN_LIBTORCH at a CUDA build of the same version");
    if (needs_cuda) kernels(gpu, *facts_.torch);
  }

  // Training works without them, slower.
  void kernels(const GpuFacts& gpu, const TorchFacts& torch) {
    if (torch.kernels.empty()) {
      add("gpu.kernels", Level::kWarning,
          "this program was built without its own CUDA kernels: batch norm, addition and ReLU stay separate operations",
          "build where nvcc is found: scripts/setup installs one from wheels; configuring says what it found");
      return;
    }
    for (const Gpu& device : gpu.gpus) {
      if (device.capability >= torch.kernels_oldest) continue;
      add("gpu.kernels", Level::kNote,
          device.name + " is older than this program's own CUDA kernels (" + torch.kernels +
              "): it trains with libtorch's separate operations");
      return;
    }
    add("gpu.kernels", Level::kOk, "CUDA kernels of its own, for " + torch.kernels);
  }

  static std::string init_fix(int error) {
    switch (error) {
      case 100:  // CUDA_ERROR_NO_DEVICE
        return "nvidia-smi -L lists what the driver sees; unset CUDA_VISIBLE_DEVICES; docker run --gpus all";
      case 802:  // CUDA_ERROR_SYSTEM_NOT_READY
        return "start the fabric manager: systemctl start nvidia-fabricmanager";
      case 803:  // CUDA_ERROR_SYSTEM_DRIVER_MISMATCH
        return "kernel module and libcuda are of different versions: restart the machine after the driver's update";
      default:
        return "dmesg | grep -i nvrm says what the driver met; restart the machine";
    }
  }

  void torch(const TorchFacts& torch) {
    if (torch.loaded_abi != torch.built_abi) {
      add("torch", Level::kProblem,
          "another libtorch is loaded than this program was built with (" + torch.built + "): " + torch.path,
          "set IMGTRAIN_LIBTORCH to the folder of torch " + torch.built + ", and unset LD_LIBRARY_PATH");
    } else {
      add("torch", Level::kOk, "libtorch " + torch.built + " in " + torch.path);
    }
    if (torch.nccl_built == 0) return;
    if (torch.nccl_loaded == 0) {
      add("nccl", gpus() > 1 ? Level::kProblem : Level::kWarning,
          "libnccl.so.2 cannot be loaded: several GPUs cannot train together",
          "pip install nvidia-nccl-cu13 beside torch, or put its lib folder on LD_LIBRARY_PATH");
    } else if (torch.nccl_loaded / 10000 != torch.nccl_built / 10000 || torch.nccl_loaded < torch.nccl_built) {
      add("nccl", Level::kWarning,
          "NCCL " + nccl_version(torch.nccl_loaded) + " is loaded, the program was built with " +
              nccl_version(torch.nccl_built),
          "unset LD_LIBRARY_PATH, so that the one beside torch is taken");
    } else {
      add("nccl", Level::kOk, "NCCL " + nccl_version(torch.nccl_loaded));
    }
  }

  const Facts& facts_;
  std::vector<Finding> findings_;
};

}  // namespace

const char* to_string(Level level) {
  switch (level) {
    case Level::kOk:
      return "ok";
    case Level::kNote:
      return "note";
    case Level::kWarning:
      return "warning";
    case Level::kProblem:
      return "problem";
  }
  return "problem";
}

std::vector<Finding> examine(const Facts& facts) {
  return Examination(facts).run();
}

Level worst(const std::vector<Finding>& findings) {
  Level level = Level::kOk;
  for (const Finding& finding : findings) level = std::max(level, finding.level);
  return level;
}

}  // namespace imgtrain::doctor
