// BlockReader reads the blocks of shards ahead of the decoders.
//
//   request() --queue, in order--> reader threads: one large read per extent --> LoadedBlock, ready or failed
//
// A block is the records that this rank needs of one BlockPlan block: usually all of them, in one read of about 4 MiB.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <exception>
#include <filesystem>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "engine/data/block_buffers.h"
#include "engine/data/signal.h"
#include "format/file.h"

namespace imgtrain::data {

// Bytes [offset, offset + bytes) of a shard file, which go to `at` in the block's buffer.
struct BlockExtent {
  uint64_t offset = 0;
  uint64_t bytes = 0;
  uint64_t at = 0;
};

struct BlockRequest {
  uint32_t shard = 0;
  std::vector<BlockExtent> extents;
  uint64_t bytes() const;  // Of the buffer.
};

enum class BlockStatus { kQueued, kReady, kFailed };

class BlockReader;

// Destroying it frees its memory and rings the signal.
class LoadedBlock {
 public:
  ~LoadedBlock();
  BlockStatus status() const { return status_.load(std::memory_order_acquire); }
  std::span<const std::byte> bytes() const { return {buffer_.data(), size_}; }  // REQUIRES: kReady.
  std::exception_ptr error() const { return error_; }                           // REQUIRES: kFailed.

 private:
  friend class BlockReader;
  explicit LoadedBlock(BlockReader& reader, BlockRequest request);
  BlockReader& reader_;
  const BlockRequest request_;
  const size_t size_;
  BlockBuffer buffer_;
  std::exception_ptr error_;
  std::atomic<BlockStatus> status_{BlockStatus::kQueued};
};

struct BlockReaderOptions {
  uint32_t threads = 4;      // Reads in flight.
  size_t keep_bytes = 0;     // Memory of finished blocks to keep for the next ones.
  uint32_t open_files = 64;  // At most.
};

// Thread-safe. Outlives its LoadedBlocks.
class BlockReader {
 public:
  // `shards[i]` is the path of shard i. `signal` rings whenever a block is ready, has failed, or was freed.
  BlockReader(imgpack::FileSystem& fs, std::vector<std::filesystem::path> shards, const BlockReaderOptions& options,
              std::shared_ptr<Signal> signal);
  ~BlockReader();  // Drops what is queued, waits for the reads in progress.

  // Never blocks. The memory counts from now on.
  std::shared_ptr<LoadedBlock> request(BlockRequest request);
  // What is queued and not begun fails with Error(kInterrupted). Files are opened afresh afterwards, so that shards
  // that were mended in between are seen.
  void cancel();

  size_t memory_bytes() const { return memory_bytes_.load(); }  // Of blocks requested and not yet freed.
  double read_seconds() const { return static_cast<double>(read_nanoseconds_.load()) * 1e-9; }  // Summed over threads.
  uint64_t bytes_read() const { return bytes_read_.load(); }
  uint64_t reads() const { return reads_.load(); }

 private:
  friend class LoadedBlock;
  void run();
  void load(LoadedBlock& block);
  std::shared_ptr<imgpack::RandomAccessFile> file(uint32_t shard);

  imgpack::FileSystem& fs_;
  const std::vector<std::filesystem::path> shards_;
  const BlockReaderOptions options_;
  const std::shared_ptr<Signal> signal_;
  BlockBuffers buffers_;
  std::atomic<size_t> memory_bytes_{0};
  std::atomic<uint64_t> read_nanoseconds_{0}, bytes_read_{0}, reads_{0};

  std::mutex mutex_;
  std::condition_variable work_;
  bool stop_ = false;
  std::deque<std::shared_ptr<LoadedBlock>> queue_;

  struct OpenFile {
    uint32_t shard;
    std::shared_ptr<imgpack::RandomAccessFile> file;
  };
  std::mutex files_mutex_;
  std::deque<OpenFile> files_;  // Most recently used first.

  std::vector<std::thread> threads_;
};

}  // namespace imgtrain::data
