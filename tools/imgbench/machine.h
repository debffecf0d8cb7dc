// What a figure was measured on.
#pragma once

#include <cstdint>
#include <string>

namespace imgbench {

struct Machine {
  std::string cpu;     // `AMD EPYC 9R14`
  uint32_t cores = 0;  // That this process may use.
  std::string simd;    // The widest of SSE4.2, AVX2, AVX-512 and NEON that the CPU has.
  uint64_t memory_bytes = 0;
  std::string system;  // Kernel and architecture.
  std::string compiler;
  std::string build;  // `release`, `debug`, and sanitizers.
};

Machine this_machine();

}  // namespace imgbench
