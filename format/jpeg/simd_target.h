// Which SIMD instruction set the kernels of this library run on: the best one that the CPU has, unless forced.
//
// All of them give the same pixels; forcing one is for tests and measurements.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace imgpack::jpeg {

// Best first, as compiled in and present on this CPU: `AVX3`, `AVX2`, `SSE4`, `SSSE3`, `SCALAR`, …
std::vector<std::string> simd_targets();

std::string chosen_simd_target();

// Until destroyed, every kernel in the process runs on the target of that name. Not thread-safe: no decode may be in
// progress at either end. Throws Error(kUsage) for a name that is not in simd_targets().
class ForcedSimdTarget {
 public:
  explicit ForcedSimdTarget(std::string_view name);
  ~ForcedSimdTarget();
  ForcedSimdTarget(const ForcedSimdTarget&) = delete;
  ForcedSimdTarget& operator=(const ForcedSimdTarget&) = delete;
};

}  // namespace imgpack::jpeg
