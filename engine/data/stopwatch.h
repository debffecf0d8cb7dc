// Adds up how long something took, over all threads that do it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace imgtrain::data {

// Thread-safe.
class Stopwatch {
 public:
  // Times its own life.
  class Lap {
   public:
    explicit Lap(Stopwatch& watch) : watch_(watch), start_(Clock::now()) {}
    ~Lap() {
      watch_.nanoseconds_ +=
          static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start_).count());
    }
    Lap(const Lap&) = delete;
    Lap& operator=(const Lap&) = delete;

   private:
    using Clock = std::chrono::steady_clock;
    Stopwatch& watch_;
    const Clock::time_point start_;
  };

  double seconds() const { return static_cast<double>(nanoseconds_.load()) * 1e-9; }
  void reset() { nanoseconds_ = 0; }

 private:
  std::atomic<uint64_t> nanoseconds_{0};
};

}  // namespace imgtrain::data
