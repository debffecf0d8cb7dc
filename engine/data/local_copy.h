// LocalCopy brings the shards of a split onto a faster local disk while the first epoch reads them where they are.
//
//   source shard --copied, digest = manifest's--> FOLDER/DATASET-ID/SHARD.PID.tmp --fsync, rename--> .../SHARD
//                                                                          path(): the copy as soon as it is whole
//
// A file under a shard's name was whole when it got that name; it is read again and compared with the manifest's digest
// before this run uses it, and made anew where it differs. So a copy may be killed at any time: the next run goes on
// with the next shard. What does not fit on the disk stays where it is. Several processes may share a folder.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "format/file.h"
#include "format/shard_writer.h"

namespace imgtrain::data {

struct LocalCopyOptions {
  std::filesystem::path source;              // Folder of the dataset.
  std::filesystem::path target;              // Folder of the copies; made if it is not there.
  std::string split;                         // For messages.
  uint64_t keep_free_bytes = 1ull << 30;     // Of the target's disk, for whatever else lives there.
  uint64_t chunk_bytes = uint64_t{4} << 20;  // Read and written at once.
};

// Thread-safe. A copy that fails is no error of the run: it is noted, and the source is read.
class LocalCopy {
 public:
  // `shards` by their numbers in the split; those in `wanted` are copied, in that order.
  LocalCopy(imgpack::FileSystem& fs, const LocalCopyOptions& options, std::vector<imgpack::ShardSummary> shards,
            std::vector<uint32_t> wanted);
  ~LocalCopy();  // Prompt: waits for the chunk in progress; removes the unfinished file.
  LocalCopy(const LocalCopy&) = delete;
  LocalCopy& operator=(const LocalCopy&) = delete;

  void start();  // Begins copying on a thread of its own; again: does nothing.
  // Where shard `shard` is best read from now.
  std::filesystem::path path(uint32_t shard) const;
  std::string progress() const;  // `12 of 290 shards in /scratch/3f…`
  std::vector<std::string> take_notes();
  void wait();  // Until the thread has ended. For tests and tools.

 private:
  enum class Step { kDone, kNoRoom, kStopped };
  void run();
  Step bring(uint32_t shard);
  bool whole(const std::filesystem::path& file, const imgpack::ShardSummary& shard);
  void remove_abandoned();
  void note(std::string text);

  imgpack::FileSystem& fs_;
  const LocalCopyOptions options_;
  const std::vector<imgpack::ShardSummary> shards_;
  const std::vector<uint32_t> wanted_;
  std::vector<std::atomic<bool>> ready_;  // Of every shard of the split.
  std::atomic<uint32_t> copied_{0};       // Of `wanted`, that are ready.
  std::atomic<bool> stop_{false};
  mutable std::mutex mutex_;
  std::vector<std::string> notes_;
  std::thread thread_;
};

}  // namespace imgtrain::data
