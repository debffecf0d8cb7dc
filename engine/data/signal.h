// A bell: someone waits until anything has happened, many ring it. Shared by the parts of a pipeline so that each can
// outlive the others.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace imgtrain::data {

class Signal {
 public:
  void ring() {
    {
      const std::lock_guard lock(mutex_);
      ++rings_;
    }
    changed_.notify_all();
  }
  // How often it has rung. Read it, look at the state of things, then wait for the next ring.
  uint64_t count() const {
    const std::lock_guard lock(mutex_);
    return rings_;
  }
  void wait_beyond(uint64_t seen) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return rings_ != seen; });
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t rings_ = 0;
};

}  // namespace imgtrain::data
