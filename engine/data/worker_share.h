// WorkerShare reserves TBB worker threads for one pipeline. TBB keeps one pool per process, sized for the machine's
// cores less the calling thread; a pipeline that only enqueues would find one worker too few, and two pipelines would
// starve each other.
#pragma once

#include <cstdint>

namespace imgtrain::data {

// The pool holds at least the sum of all shares. Thread-safe. A smaller tbb::global_control of the program wins.
class WorkerShare {
 public:
  explicit WorkerShare(uint32_t threads);
  ~WorkerShare();
  WorkerShare(const WorkerShare&) = delete;
  WorkerShare& operator=(const WorkerShare&) = delete;

 private:
  const uint32_t threads_;
};

}  // namespace imgtrain::data
