// A disk of stated speed over another FileSystem, in virtual time: no test waits for it, and no other load on the
// machine changes what it measures.
//
//   read_at() -> two token buckets (bytes, I/Os of at most io_bytes) -> latency -> the inner file's bytes
//
// Time stands still while anything computes: the consumer of the bytes is infinitely fast. It moves on to the next
// completion once `readers` reads are waiting, or when no further read has come for a moment of real time.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <set>

#include "format/file.h"

namespace imgpack::test {

struct DiskSpeed {
  double bytes_per_second = 125.0 * (1 << 20);  // An Amazon EBS gp3 volume as it comes.
  double ios_per_second = 3000;
  double latency_s = 1e-3;
  uint64_t io_bytes = 256 << 10;
  uint32_t readers = 4;  // Threads that read.
};

struct DiskCounters {
  double seconds = 0;  // Virtual, until the last completion.
  uint64_t bytes = 0;
  uint64_t ios = 0;
};

// Thread-safe. Reads only; everything else goes straight to the inner file system, which must outlive it.
class SimulatedDisk : public FileSystem {
 public:
  SimulatedDisk(FileSystem& inner, const DiskSpeed& speed);
  ~SimulatedDisk() override;
  DiskCounters counters() const;

  std::unique_ptr<RandomAccessFile> open(const std::filesystem::path& path) override;
  std::unique_ptr<WritableFile> create(const std::filesystem::path& path) override { return inner_.create(path); }
  void rename(const std::filesystem::path& from, const std::filesystem::path& to) override { inner_.rename(from, to); }
  void remove(const std::filesystem::path& path) override { inner_.remove(path); }
  void make_directories(const std::filesystem::path& path) override { inner_.make_directories(path); }
  void sync_directory(const std::filesystem::path& path) override { inner_.sync_directory(path); }
  bool exists(const std::filesystem::path& path) override { return inner_.exists(path); }
  std::vector<DirectoryEntry> list(const std::filesystem::path& path) override { return inner_.list(path); }
  uint64_t free_bytes(const std::filesystem::path& path) override { return inner_.free_bytes(path); }

 private:
  class Device;
  class File;
  FileSystem& inner_;
  std::shared_ptr<Device> device_;
};

}  // namespace imgpack::test
