// BlockReader reads the blocks of shards ahead of the decoders.
//
//   request() --in order--> ReadEngine (io_uring or threads): large reads --> LoadedBlock, ready or failed
//
// A block is the records that this rank needs of one BlockPlan block: usually all of them, in one piece of about 4 MiB.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "engine/data/block_buffers.h"
#include "engine/data/cache_policy.h"
#include "engine/data/read_engine.h"
#include "engine/data/signal.h"
#include "format/file.h"

namespace imgtrain::data {

// Bytes [offset, offset + bytes) of a shard file, which go to `at` in the block's bytes.
struct BlockExtent {
  uint64_t offset = 0;
  uint64_t bytes = 0;
  uint64_t at = 0;
};

struct BlockRequest {
  uint32_t shard = 0;
  std::vector<BlockExtent> extents;  // Ascending in `at`, without gaps there.
  uint64_t bytes() const;            // Of all extents.
};

enum class BlockStatus { kQueued, kReady, kFailed };

class BlockReader;

// Destroying it frees its memory and rings the signal.
class LoadedBlock {
 public:
  ~LoadedBlock();
  LoadedBlock(const LoadedBlock&) = delete;
  LoadedBlock& operator=(const LoadedBlock&) = delete;

  BlockStatus status() const { return status_.load(std::memory_order_acquire); }
  // The bytes of the request from `at` on. REQUIRES: kReady; they lie within one extent.
  std::span<const std::byte> bytes(uint64_t at, uint64_t count) const;
  std::exception_ptr error() const { return error_; }          // REQUIRES: kFailed.
  const std::filesystem::path& path() const { return path_; }  // REQUIRES: not kQueued. Empty: no file was opened.

 private:
  friend class BlockReader;
  LoadedBlock(BlockReader& reader, BlockRequest request);

  BlockReader& reader_;
  const BlockRequest request_;
  const size_t capacity_;            // Counted as used from the request on.
  std::vector<uint64_t> placed_at_;  // Of every extent, in the buffer: sectors may begin before it.
  BlockBuffer buffer_;
  std::shared_ptr<imgpack::RandomAccessFile> file_;
  std::filesystem::path path_;
  std::exception_ptr error_;
  std::atomic<BlockStatus> status_{BlockStatus::kQueued};
};

enum class ReadBackend { kAuto, kThreads, kIoUring };  // kAuto: io_uring where kernel and file system have it.

struct BlockReaderOptions {
  ReadBackend backend = ReadBackend::kAuto;
  uint32_t threads = 4;      // Of ReadBackend::kThreads: blocks in flight.
  uint32_t ring_reads = 32;  // Of ReadBackend::kIoUring: reads of up to 1 MiB in flight.
  size_t keep_bytes = 0;     // Memory of finished blocks to keep for the next ones.
  // What most blocks need: those between half of it and it get memory of this size, so that each can have the one that
  // any other leaves. Sizes of their own would send each other's memory back to the kernel. 0: sizes of their own.
  size_t usual_bytes = 0;
  uint32_t open_files = 64;            // At most.
  CacheMode cache = CacheMode::kKeep;  // Not kAuto.
};

// Thread-safe. Outlives its LoadedBlocks.
class BlockReader {
 public:
  // Says where shard i lies now: asked whenever its file is opened.
  using ShardPath = std::function<std::filesystem::path(uint32_t shard)>;

  // `signal` rings whenever a block is ready, has failed, or was freed. Throws Error(kUsage) for ReadBackend::kIoUring
  // where there is none.
  BlockReader(imgpack::FileSystem& fs, ShardPath shard_path, const BlockReaderOptions& options,
              std::shared_ptr<Signal> signal);
  ~BlockReader();  // Drops what is queued, waits for the reads in progress.

  // Never blocks. The memory counts from now on.
  std::shared_ptr<LoadedBlock> request(BlockRequest request);
  // What is queued and not begun fails with Error(kInterrupted). Files are opened afresh afterwards, so that shards
  // that were mended in between are seen.
  void cancel();

  size_t memory_bytes() const { return memory_bytes_.load(); }  // Of blocks requested and not yet freed.
  size_t memory_for(const BlockRequest& request) const;
  ReadCounters counters() const { return engine_->counters(); }
  const char* backend() const { return engine_->name(); }
  // Of the files opened so far, the mode that was really possible.
  CacheMode cache_mode() const { return cache_mode_.load(); }

 private:
  friend class LoadedBlock;
  class Task;
  ReadJob begin(LoadedBlock& block);
  void end(LoadedBlock& block, std::exception_ptr error);
  std::shared_ptr<imgpack::RandomAccessFile> file(uint32_t shard);
  std::shared_ptr<imgpack::RandomAccessFile> open(const std::filesystem::path& path);

  imgpack::FileSystem& fs_;
  const ShardPath shard_path_;
  const BlockReaderOptions options_;
  const std::shared_ptr<Signal> signal_;
  BlockBuffers buffers_;
  std::atomic<size_t> memory_bytes_{0};
  std::atomic<CacheMode> cache_mode_;

  struct OpenFile {
    uint32_t shard;
    std::shared_ptr<imgpack::RandomAccessFile> file;
  };
  std::mutex files_mutex_;
  std::deque<OpenFile> files_;  // Most recently used first.

  std::unique_ptr<ReadEngine> engine_;  // Last: its threads use everything above.
};

}  // namespace imgtrain::data
