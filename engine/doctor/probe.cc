#include "engine/doctor/probe.h"

#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <fstream>
#include <limits>

#include "engine/data/cache_policy.h"
#include "engine/data/machine.h"
#include "engine/train/run/spot_notice.h"
#include "format/error.h"
#include "format/jpeg/simd_target.h"

namespace imgtrain::doctor {
namespace {

std::string first_line(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

uint64_t number_in(const char* path) {
  std::ifstream file(path);
  uint64_t value = 0;
  return file >> value ? value : 0;
}

CpuFacts probe_cpu() {
  CpuFacts cpu;
  cpu.name = data::cpu_name();
  cpu.cores = static_cast<uint32_t>(data::usable_cores());
  std::ifstream quota("/sys/fs/cgroup/cpu.max");
  double microseconds = 0, period = 0;
  if (quota >> microseconds >> period && period > 0) cpu.quota_cores = microseconds / period;
  cpu.simd = imgpack::jpeg::chosen_simd_target();
#if defined(__x86_64__)
  cpu.x86 = true;
#endif
  return cpu;
}

MemoryFacts probe_memory() {
  MemoryFacts memory;
  memory.total_bytes = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  memory.available_bytes = data::available_memory_bytes();
  memory.limit_bytes = number_in("/sys/fs/cgroup/memory.max");
  struct statvfs shm {};
  if (statvfs("/dev/shm", &shm) == 0) memory.shm_bytes = shm.f_blocks * shm.f_frsize;
  const std::string pages = first_line("/sys/kernel/mm/transparent_hugepage/enabled");
  const size_t open = pages.find('['), close = pages.find(']');
  if (open != std::string::npos && close != std::string::npos && open < close)
    memory.huge_pages = pages.substr(open + 1, close - open - 1);
  return memory;
}

LimitFacts probe_limits() {
  LimitFacts limits;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) limits.open_files_hard = limit.rlim_max;
  if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0)
    limits.memlock_bytes = limit.rlim_cur == RLIM_INFINITY ? std::numeric_limits<uint64_t>::max() : limit.rlim_cur;
  utsname names{};
  if (uname(&names) == 0) limits.kernel = names.release;
  return limits;
}

// The same call that every user of io_uring begins with; struct io_uring_params is 120 bytes of zeros.
IoUringFacts probe_io_uring() {
  IoUringFacts ring;
  unsigned char parameters[120] = {};
  const long descriptor = syscall(SYS_io_uring_setup, 1u, parameters);
  if (descriptor >= 0) {
    ring.usable = true;
    close(static_cast<int>(descriptor));
  } else {
    ring.error = errno;
  }
  std::ifstream setting("/proc/sys/kernel/io_uring_disabled");
  if (int value = 0; setting >> value) ring.disabled = value;
  return ring;
}

ClockFacts probe_clock() {
  ClockFacts clock;
  clock.now = static_cast<int64_t>(std::time(nullptr));
  timex state{};
  const int answer = adjtimex(&state);
  if (answer >= 0) clock.synchronised = answer != TIME_ERROR && (state.status & STA_UNSYNC) == 0;
  return clock;
}

MetadataFacts probe_metadata(std::chrono::milliseconds timeout) {
  MetadataFacts metadata;
  const SpotWatchOptions options = spot_watch_from_environment();
  metadata.on_ec2 = first_line("/sys/class/dmi/id/sys_vendor") == "Amazon EC2";
  metadata.endpoint = options.endpoint;
  metadata.asked = !options.disabled;
  if (!metadata.asked) return metadata;
  const auto endpoint = parse_http_endpoint(options.endpoint);
  if (!endpoint) {
    throw imgpack::Error(
        imgpack::ErrorKind::kUsage,
        "AWS_EC2_METADATA_SERVICE_ENDPOINT: expected http://HOST:PORT, found '" + options.endpoint + "'");
  }
  const auto answer = http_exchange(
      *endpoint, {"PUT", "/latest/api/token", {{"X-aws-ec2-metadata-token-ttl-seconds", "60"}}, {}}, timeout, 64 << 10);
  if (answer) metadata.status = answer->status;
  metadata.answered = answer && answer->status == 200 && !answer->body.empty();
  return metadata;
}

}  // namespace

Facts probe_machine(std::chrono::milliseconds metadata_timeout) {
  Facts facts;
  facts.cpu = probe_cpu();
  facts.memory = probe_memory();
  facts.limits = probe_limits();
  facts.io_uring = probe_io_uring();
  facts.clock = probe_clock();
  facts.metadata = probe_metadata(metadata_timeout);
  return facts;
}

}  // namespace imgtrain::doctor
