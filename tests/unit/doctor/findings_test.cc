#include "engine/doctor/findings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <limits>

namespace imgtrain::doctor {
namespace {

using testing::HasSubstr;

constexpr uint64_t kGib = uint64_t{1} << 30;

// A machine on which nothing is to be said.
Facts healthy() {
  Facts facts;
  facts.cpu = {.name = "A CPU", .cores = 8, .quota_cores = 0, .simd = "AVX2", .x86 = true};
  facts.memory = {.total_bytes = 64 * kGib,
                  .available_bytes = 48 * kGib,
                  .limit_bytes = 0,
                  .shm_bytes = 32 * kGib,
                  .huge_pages = "madvise"};
  facts.limits = {.open_files_hard = 1 << 20, .memlock_bytes = 8 << 20, .kernel = "6.1.0-18-amd64"};
  facts.io_uring = {.usable = true, .error = 0, .disabled = 0};
  facts.clock = {.now = 2000000000, .synchronised = true};
  facts.metadata = {
      .on_ec2 = false, .asked = true, .answered = false, .status = 0, .endpoint = "http://169.254.169.254"};
  return facts;
}

Facts healthy_gpu_machine(size_t gpus = 1) {
  Facts facts = healthy();
  facts.gpu = GpuFacts{.devices_on_bus = 1,
                       .driver = "580.82.07",
                       .library = true,
                       .init_error = 0,
                       .cuda = 13000,
                       .gpus = {},
                       .visible = {}};
  for (size_t i = 0; i < gpus; ++i) facts.gpu->gpus.push_back({"A10G", 22 * kGib, 86});
  facts.torch = TorchFacts{.built = "2.11.0",
                           .built_abi = 7,
                           .loaded_abi = 7,
                           .path = "/t/libtorch_cpu.so",
                           .cuda = true,
                           .cuda_needed = 13000,
                           .nccl_built = 22809,
                           .nccl_loaded = 22809,
                           .kernels = "sm_80, sm_86",
                           .kernels_oldest = 80};
  return facts;
}

// The finding of that check; fails the test where there is none.
Finding find(const Facts& facts, const std::string& check) {
  for (const Finding& finding : examine(facts))
    if (finding.check == check) return finding;
  ADD_FAILURE() << "no finding " << check;
  return {};
}

void expect(const Facts& facts, const std::string& check, Level level, const std::string& what,
            const std::string& fix) {
  const Finding finding = find(facts, check);
  EXPECT_EQ(finding.level, level) << check << ": " << finding.what;
  EXPECT_THAT(finding.what, HasSubstr(what));
  EXPECT_THAT(finding.fix, HasSubstr(fix));
}

TEST(DoctorFindings, HealthyMachinesHaveNothingToFix) {
  for (const Facts& facts : {healthy(), healthy_gpu_machine(), healthy_gpu_machine(8)}) {
    EXPECT_EQ(worst(examine(facts)), Level::kOk);
    for (const Finding& finding : examine(facts)) EXPECT_EQ(finding.fix, "") << finding.check;
  }
}

TEST(DoctorFindings, EveryProblemAndWarningNamesItsFix) {
  // One machine with everything wrong at once.
  Facts facts = healthy_gpu_machine(2);
  facts.cpu.quota_cores = 1.5;
  facts.cpu.simd = "SSE4";
  facts.memory.available_bytes = 1 << 20;
  facts.memory.shm_bytes = 64 << 20;
  facts.limits.open_files_hard = 256;
  facts.io_uring = {.usable = false, .error = EPERM, .disabled = -1};
  facts.clock = {.now = 0, .synchronised = false};
  facts.metadata.on_ec2 = true;
  facts.folders = {{.path = "/x", .error = "is gone"},
                   {.path = "/y", .writable = true, .free_bytes = 1, .read_mib_s = 9, .past_cache = true}};
  facts.gpu->cuda = 12040;
  facts.gpu->gpus.front().capability = 70;
  facts.torch->loaded_abi = 8;
  facts.torch->nccl_loaded = 0;
  size_t bad = 0;
  for (const Finding& finding : examine(facts)) {
    if (finding.level < Level::kWarning) continue;
    EXPECT_NE(finding.fix, "") << finding.check;
    ++bad;
  }
  EXPECT_GE(bad, 12u);
  EXPECT_EQ(worst(examine(facts)), Level::kProblem);
}

TEST(DoctorFindings, QuotaBelowTheVisibleCoresNamesAThreadCount) {
  Facts facts = healthy();
  facts.cpu.quota_cores = 2.5;
  expect(facts, "cpu.cores", Level::kWarning, "2.5", "--threads 2");
  facts.cpu.quota_cores = 8;
  expect(facts, "cpu.cores", Level::kOk, "8 cores", "");
}

TEST(DoctorFindings, DecodersWithoutAvx2AreSlower) {
  Facts facts = healthy();
  facts.cpu.simd = "AVX3_DL";
  expect(facts, "cpu.simd", Level::kOk, "AVX-512", "");
  facts.cpu.simd = "SSSE3";
  expect(facts, "cpu.simd", Level::kWarning, "SSSE3", "2015");
  facts.cpu = {.name = "Graviton", .cores = 4, .quota_cores = 0, .simd = "NEON", .x86 = false};
  expect(facts, "cpu.simd", Level::kOk, "NEON", "");
}

TEST(DoctorFindings, MemoryBelowWhatTrainingTakesIsSaid) {
  Facts facts = healthy();
  facts.memory.available_bytes = kGib;
  facts.memory.limit_bytes = 2 * kGib;
  expect(facts, "memory.available", Level::kWarning, "the control group's limit is 2 GiB", "--slots");
  facts.memory.available_bytes = kGib / 4;
  expect(facts, "memory.available", Level::kProblem, "256 MiB", "docker run -m");
}

TEST(DoctorFindings, SmallSharedMemoryMattersForSeveralGpusOnly) {
  Facts one = healthy_gpu_machine(1), two = healthy_gpu_machine(2);
  one.memory.shm_bytes = two.memory.shm_bytes = 64 << 20;
  expect(one, "memory.shm", Level::kOk, "/dev/shm", "");
  expect(two, "memory.shm", Level::kProblem, "64 MiB", "--shm-size");
}

TEST(DoctorFindings, FewOpenFilesAreAProblemForArchives) {
  Facts facts = healthy();
  facts.limits.open_files_hard = 512;
  expect(facts, "limits.open_files", Level::kProblem, "512", "ulimit -n");
  facts.limits.open_files_hard = 1024;
  expect(facts, "limits.open_files", Level::kNote, "1024", "ulimit -n");
}

TEST(DoctorFindings, ReasonWhyIoUringIsAbsentDecidesTheFix) {
  Facts facts = healthy();
  facts.io_uring = {.usable = false, .error = EPERM, .disabled = 2};
  expect(facts, "io_uring", Level::kNote, "kernel.io_uring_disabled is 2", "sysctl");
  facts.io_uring = {.usable = false, .error = EPERM, .disabled = 0};
  expect(facts, "io_uring", Level::kNote, "Operation not permitted", "seccomp");
  facts.io_uring = {.usable = false, .error = ENOSYS, .disabled = -1};
  expect(facts, "io_uring", Level::kNote, "a sandbox hides it", "seccomp");
  facts.limits.kernel = "4.19.0";
  expect(facts, "io_uring", Level::kNote, "kernel 4.19.0 has none", "5.10");
  facts.io_uring.error = ENOMEM;
  facts.limits.memlock_bytes = 65536;
  expect(facts, "io_uring", Level::kNote, "memory", "64 KiB");
}

TEST(DoctorFindings, ClockThatNothingKeepsRightIsAWarning) {
  Facts facts = healthy();
  facts.clock.synchronised = false;
  expect(facts, "clock", Level::kWarning, "AWS", "timedatectl");
  facts.clock.synchronised = std::nullopt;
  expect(facts, "clock", Level::kOk, "plausible", "");
  facts.clock.now = 1000;
  expect(facts, "clock", Level::kProblem, "before", "timedatectl");
}

TEST(DoctorFindings, SilentMetadataServiceMattersOnEc2Only) {
  Facts facts = healthy();
  expect(facts, "metadata", Level::kOk, "not an EC2 machine", "");
  facts.metadata.on_ec2 = true;
  expect(facts, "metadata", Level::kProblem, "does not answer", "hop-limit 2");
  facts.metadata.status = 403;
  expect(facts, "metadata", Level::kProblem, "status 403", "http-endpoint enabled");
  facts.metadata.answered = true;
  expect(facts, "metadata", Level::kOk, "answers", "");
  facts.metadata.asked = false;
  expect(facts, "metadata", Level::kWarning, "AWS_EC2_METADATA_DISABLED", "unset");
}

TEST(DoctorFindings, FoldersAreJudgedBySpaceAndSpeed) {
  Facts facts = healthy();
  facts.folders = {{.path = "/data",
                    .error = {},
                    .writable = true,
                    .free_bytes = 500 * kGib,
                    .file_system = "ext4",
                    .write_mib_s = 120,
                    .write_error = {},
                    .read_mib_s = 125,
                    .past_cache = true}};
  expect(facts, "folder.space", Level::kOk, "/data (ext4) has 500 GiB free", "");
  expect(facts, "folder.write", Level::kOk, "120 MiB/s", "");
  expect(facts, "folder.read", Level::kOk, "at most 1164 images", "");
  facts.folders.front().read_mib_s = 20;
  expect(facts, "folder.read", Level::kWarning, "20 MiB/s", "--cache-dir");
  facts.folders.front().past_cache = false;
  expect(facts, "folder.read", Level::kOk, "perhaps from memory", "");
  facts.folders.front().write_error = "Disk quota exceeded";
  expect(facts, "folder.write", Level::kProblem, "/data: writing fails: Disk quota exceeded", "quota -s");
  facts.folders.front().writable = false;
  expect(facts, "folder.writable", Level::kNote, "cannot be written", "mount");
}

TEST(DoctorFindings, GpuMachinesWithoutADriverAreToldWhichToInstall) {
  Facts facts = healthy_gpu_machine();
  facts.gpu = GpuFacts{};
  expect(facts, "gpu", Level::kNote, "no NVIDIA GPU", "");
  facts.gpu->devices_on_bus = 1;
  expect(facts, "gpu.driver", Level::kProblem, "not loaded", "580");
  facts.gpu->driver = "580.82.07";
  expect(facts, "gpu.driver", Level::kProblem, "container", "--gpus all");
}

TEST(DoctorFindings, CudaThatDoesNotStartNamesTheCause) {
  Facts facts = healthy_gpu_machine();
  facts.gpu->gpus.clear();
  for (const auto& [error, fix] : std::vector<std::pair<int, std::string>>{
           {100, "nvidia-smi"}, {802, "fabricmanager"}, {803, "restart"}, {999, "dmesg"}}) {
    facts.gpu->init_error = error;
    expect(facts, "gpu.driver", Level::kProblem, "error " + std::to_string(error), fix);
  }
}

TEST(DoctorFindings, DriverOlderThanTheProgramsCudaIsAProblem) {
  Facts facts = healthy_gpu_machine();
  facts.gpu->cuda = 12080;
  expect(facts, "gpu.driver", Level::kProblem, "CUDA up to 12.8, this program needs 13.0", "580");
}

TEST(DoctorFindings, GpusThatAreHiddenOrTooOldAreNamed) {
  Facts facts = healthy_gpu_machine();
  facts.gpu->gpus.front() = {"V100", 16 * kGib, 70};
  expect(facts, "gpu.devices", Level::kProblem, "V100", "--device cpu");
  facts.gpu->gpus.clear();
  facts.gpu->visible = "7";
  expect(facts, "gpu.devices", Level::kProblem, "CUDA_VISIBLE_DEVICES is '7'", "unset");
}

TEST(DoctorFindings, CpuBuildOfLibtorchBesideAGpuIsAWarning) {
  Facts facts = healthy_gpu_machine();
  facts.torch->cuda = false;
  facts.torch->nccl_built = 0;
  expect(facts, "gpu.torch", Level::kWarning, "no CUDA", "IMGTRAIN_LIBTORCH");
}

TEST(DoctorFindings, AProgramWithoutKernelsBesideAGpuIsAWarningAndAnOlderGpuANote) {
  Facts facts = healthy_gpu_machine();
  facts.torch->kernels.clear();
  expect(facts, "gpu.kernels", Level::kWarning, "without its own CUDA kernels", "scripts/setup");
  facts.torch->kernels = "sm_80, sm_86";
  facts.torch->kernels_oldest = facts.gpu->gpus[0].capability;
  expect(facts, "gpu.kernels", Level::kOk, "sm_80, sm_86", "");
  facts.torch->kernels_oldest = facts.gpu->gpus[0].capability + 1;
  expect(facts, "gpu.kernels", Level::kNote, "separate operations", "");
}

TEST(DoctorFindings, OtherLibtorchThanBuiltWithIsAProblem) {
  Facts facts = healthy_gpu_machine();
  facts.torch->loaded_abi = 8;
  expect(facts, "torch", Level::kProblem, "/t/libtorch_cpu.so", "IMGTRAIN_LIBTORCH");
}

TEST(DoctorFindings, MissingNcclIsAProblemWithSeveralGpus) {
  Facts one = healthy_gpu_machine(1), two = healthy_gpu_machine(2);
  one.torch->nccl_loaded = two.torch->nccl_loaded = 0;
  expect(one, "nccl", Level::kWarning, "libnccl.so.2", "nvidia-nccl-cu13");
  expect(two, "nccl", Level::kProblem, "libnccl.so.2", "nvidia-nccl-cu13");
  two.torch->nccl_loaded = 21903;
  expect(two, "nccl", Level::kWarning, "NCCL 2.19.3 is loaded, the program was built with 2.28.9", "LD_LIBRARY_PATH");
}

}  // namespace
}  // namespace imgtrain::doctor
