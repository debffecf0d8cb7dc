// ReadEngine carries out reads: on threads that block in pread, or on one thread that hands them to io_uring.
//
//   submit(task) --queue, in order--> task.begin(): which bytes, where to --reads--> task.end(): done or failed
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "format/file.h"

namespace imgtrain::data {

// One piece of a file. May reach beyond the file's end as long as the first `needed` bytes do not (whole sectors).
struct ReadPart {
  uint64_t offset = 0;
  std::span<std::byte> to;
  uint64_t needed = 0;
};

struct ReadJob {
  std::shared_ptr<const imgpack::RandomAccessFile> file;
  std::vector<ReadPart> parts;
};

class ReadTask {
 public:
  virtual ~ReadTask() = default;
  // Called when its turn has come, on an engine's thread. May throw; end() then gets what it threw.
  virtual ReadJob begin() = 0;
  // Called once. nullptr: all needed bytes are there.
  virtual void end(std::exception_ptr error) noexcept = 0;
};

struct ReadCounters {
  uint64_t bytes = 0;
  uint64_t reads = 0;       // Parts.
  double busy_seconds = 0;  // During which at least one task was being read.
};

// Thread-safe. The destructor waits for the reads in progress and ends the rest with Error(kInterrupted).
class ReadEngine {
 public:
  virtual ~ReadEngine() = default;
  virtual void submit(std::shared_ptr<ReadTask> task) = 0;  // Never blocks.
  virtual void cancel_queued() = 0;                         // Ends what has not begun with Error(kInterrupted).
  virtual ReadCounters counters() const = 0;
  virtual const char* name() const = 0;  // `threads` or `io_uring`
};

std::unique_ptr<ReadEngine> make_thread_engine(uint32_t threads);
// nullptr: the kernel has no io_uring or does not let this process use it.
std::unique_ptr<ReadEngine> make_uring_engine(uint32_t reads_in_flight);

// What both engines count with.
class ReadMeter {
 public:
  void begin_task();
  void end_task();
  void count(uint64_t bytes);
  ReadCounters counters() const;

 private:
  mutable std::mutex mutex_;
  uint32_t active_ = 0;
  uint64_t active_since_ns_ = 0;
  ReadCounters total_;
};

// Throws Error(kIo) for a file that ended before all of `part.needed` came.
void require_enough(const ReadPart& part, uint64_t got, const imgpack::RandomAccessFile& file);

}  // namespace imgtrain::data
