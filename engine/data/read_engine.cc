#include "engine/data/read_engine.h"

#include <chrono>
#include <string>

#include "format/error.h"

namespace imgtrain::data {
namespace {

uint64_t now_ns() {
  return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1));
}

}  // namespace

void ReadMeter::begin_task() {
  const std::lock_guard lock(mutex_);
  if (active_++ == 0) active_since_ns_ = now_ns();
}

void ReadMeter::end_task() {
  const std::lock_guard lock(mutex_);
  if (--active_ == 0) total_.busy_seconds += 1e-9 * static_cast<double>(now_ns() - active_since_ns_);
}

void ReadMeter::count(uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  total_.bytes += bytes;
  ++total_.reads;
}

ReadCounters ReadMeter::counters() const {
  const std::lock_guard lock(mutex_);
  ReadCounters now = total_;
  if (active_ > 0) now.busy_seconds += 1e-9 * static_cast<double>(now_ns() - active_since_ns_);
  return now;
}

void require_enough(const ReadPart& part, uint64_t got, const imgpack::RandomAccessFile& file) {
  if (got >= part.needed) return;
  throw imgpack::Error(imgpack::ErrorKind::kIo,
                       "file became shorter while it was read: expected " + std::to_string(part.needed) +
                           " bytes, found " + std::to_string(got),
                       file.path(), part.offset);
}

}  // namespace imgtrain::data
