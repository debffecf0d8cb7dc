#include "tools/imgbench/machine.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <thread>

#include "engine/data/machine.h"
#include "tools/cli/build_details.h"

namespace imgbench {
namespace {

std::string widest_simd() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) return "AVX-512";
  if (__builtin_cpu_supports("avx2")) return "AVX2";
  return __builtin_cpu_supports("sse4.2") ? "SSE4.2" : "SSE2";
#elif defined(__aarch64__)
  return "NEON";
#else
  return "none known";
#endif
}

}  // namespace

Machine this_machine() {
  Machine machine;
  machine.cpu = imgtrain::data::cpu_name();
  machine.cores = std::thread::hardware_concurrency();
  machine.simd = widest_simd();
  machine.memory_bytes = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  utsname names{};
  if (uname(&names) == 0) machine.system = std::string(names.sysname) + " " + names.release + " " + names.machine;
  machine.compiler = imgpack::cli::compiler();
  machine.build = imgpack::cli::kind_of_build();
  return machine;
}

}  // namespace imgbench
