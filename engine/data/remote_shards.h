// RemoteShards gives BlockReader the shards of a split that lie behind a network, through a cache on local disk if
// there is one. What it hands out was compared with the records' checksums.
//
//   BlockReader -> RemoteShards --in the cache, whole--> CACHE/DATASET-ID/SHARD.DIGEST/RECORD
//                       └--not yet: fetched by one process of the host, checked, kept--> there, as far as there is room
//
// The cache's unit is a run of whole records of about 4 MiB that depends on the dataset alone: runs with other settings
// find it. A unit is written under a temporary name and renamed; it is not synced, since every read of it is checked:
// what a power cut leaves behind is fetched again. So it may be killed at any time, shared by any number of runs, and
// deleted by anyone.
//
// A record that is damaged in the object itself (fetched twice, the same bytes) is handed on as it is: what a damaged
// record does is not decided here.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "format/byte_lock.h"
#include "format/dataset.h"
#include "format/read_only_file_system.h"

namespace imgtrain::data {

struct RemoteShardsOptions {
  std::filesystem::path cache;            // Folder of the caches of all datasets; empty: none.
  uint64_t cache_limit = 0;               // Bytes of everything in that folder; 0: as much as the disk has.
  uint64_t keep_free_bytes = 1ull << 30;  // Of the cache's disk, for whatever else lives there.
  uint64_t unit_bytes = uint64_t{4} << 20;
  // How long another may take to fetch a unit before it is fetched here as well and not kept: it may hang.
  std::chrono::milliseconds turn{60'000};
  // Of one unit, against every other thread and process. For tests whose cache is no folder of the operating system's.
  std::function<std::unique_ptr<imgpack::ByteLock>(const std::filesystem::path&, uint64_t)> try_lock =
      imgpack::try_lock_byte;
};

struct RemoteCounters {
  uint64_t fetched_bytes = 0;  // Over the network, by this object.
  uint64_t cached_bytes = 0;   // Read from the cache.
  uint64_t refetched = 0;      // Times that bytes were wrong, on the way or in the cache.
};

// Thread-safe. Memory: one unit for each reading thread. A cache that fails is no error of the run: it is noted, and
// everything is read from the source. Files opened here outlive neither this object nor `dataset`.
class RemoteShards : public imgpack::ReadOnlyFileSystem {
 public:
  RemoteShards(imgpack::FileSystem& fs, const imgpack::Dataset& dataset, const std::string& split,
               const RemoteShardsOptions& options);
  ~RemoteShards() override;

  // REQUIRES: `path` is a shard's of the split, in the dataset's folder.
  std::unique_ptr<imgpack::RandomAccessFile> open(const std::filesystem::path& path) override;
  bool exists(const std::filesystem::path& path) override { return fs_.exists(path); }
  std::vector<imgpack::DirectoryEntry> list(const std::filesystem::path& path) override { return fs_.list(path); }

  void interrupt();  // Every file that is open now.
  RemoteCounters counters() const;
  uint64_t unit_memory_bytes() const;  // Of the largest unit of any shard, at most.
  std::string describe() const;        // `s3://… over the network, cache /scratch/cache`
  std::vector<std::string> take_notes();

 private:
  class Shard;
  bool reserve(uint64_t bytes);
  void settle(uint64_t bytes, bool stored);
  uint64_t bytes_in(const std::filesystem::path& folder, int depth) const;
  void note(std::string text);
  void give_up_cache(const std::string& why);

  imgpack::FileSystem& fs_;
  const imgpack::Dataset& dataset_;
  const imgpack::SplitView& split_;
  const RemoteShardsOptions options_;
  const std::filesystem::path folder_;  // Of this dataset's cache; empty: none.

  std::atomic<bool> storing_;  // Whether there may be room for more.
  std::atomic<uint64_t> fetched_bytes_{0}, cached_bytes_{0}, refetched_{0};
  mutable std::mutex mutex_;
  std::vector<Shard*> open_;
  std::vector<std::string> notes_;
  bool counted_ = false;
  uint64_t used_ = 0, since_counted_ = 0;  // Bytes in the cache when it was last looked at, and added since.
  uint64_t writing_ = 0;                   // Reserved by those that are being written.
};

}  // namespace imgtrain::data
