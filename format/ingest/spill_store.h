// Records on their way from an archive, whose order is not the shards', to the shards: one file per range of the
// order's key, each removed as soon as all of it has been read back.
//
//   add(key, record) -> buffer of the range --when memory is due--> OUT/train-00012.spill.tmp
//   read(place)      <- file of the range; removed with its last record
//
// What lies on the disk twice is about one range. A range is a quarter of a shard or less, or a 512th of the split
// where shards are smaller than that: for ImageNet in shards of 512 MiB, 290 MB.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "format/file.h"

namespace imgpack::ingest {

inline constexpr uint64_t kSpillBufferBytes = 64ull << 20;
inline constexpr const char* kSpillEnding = ".spill";  // Before kTemporarySuffix: whatever carries it may be deleted.

// The number of ranges for an archive of `archive_bytes`: the smallest power of two that makes a range at most a
// quarter of a shard, from 16 to 512. Each is an open file while the archive is read.
uint32_t spill_ranges(uint64_t archive_bytes, uint64_t shard_bytes);

struct SpillPlace {
  uint64_t offset = 0;  // In the range's file.
  uint32_t bytes = 0;
};

// The spill of one split. add() is not thread-safe; once finish_adding() was called, read() and drop() are.
// Throws Error(kIo). A destructor removes what is left.
class SpillStore {
 public:
  SpillStore(FileSystem& fs, std::filesystem::path folder, std::string split, uint32_t ranges,
             uint64_t buffer_bytes = kSpillBufferBytes);
  ~SpillStore();
  SpillStore(const SpillStore&) = delete;
  SpillStore& operator=(const SpillStore&) = delete;

  SpillPlace add(uint64_t key, std::span<const std::byte> bytes);
  void finish_adding();  // Whatever is buffered goes to the files.

  // What add() was given. REQUIRES: `key` and `place` are those of one add(); once per place. Its checksum is the
  // record's own: the caller checks it.
  std::vector<std::byte> read(uint64_t key, const SpillPlace& place);
  void drop(uint64_t key);  // A record that nobody will read.

  uint64_t bytes_on_disk() const { return on_disk_; }
  uint32_t ranges() const { return static_cast<uint32_t>(ranges_.size()); }

 private:
  struct Range {
    std::vector<std::byte> buffer;
    uint64_t bytes = 0;    // In the file and the buffer together.
    uint64_t written = 0;  // In the file.
    uint64_t left = 0;     // Records that were neither read nor dropped.
    std::unique_ptr<WritableFile> writer;
    std::unique_ptr<RandomAccessFile> file;
  };
  std::filesystem::path file_of(size_t range) const;
  size_t range_of(uint64_t key) const;
  void flush(size_t range);
  void flush_the_fullest();
  void release(size_t range);

  FileSystem& fs_;
  const std::filesystem::path folder_;
  const std::string split_;
  const uint64_t buffer_bytes_;
  std::vector<Range> ranges_;
  uint64_t buffered_ = 0;
  std::atomic<uint64_t> on_disk_{0};
  std::mutex mutex_;  // Of ranges_ while reading.
};

}  // namespace imgpack::ingest
