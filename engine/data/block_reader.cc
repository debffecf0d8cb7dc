#include "engine/data/block_reader.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "format/error.h"

namespace imgtrain::data {

using imgpack::Error;
using imgpack::ErrorKind;

uint64_t BlockRequest::bytes() const {
  return extents.empty() ? 0 : extents.back().at + extents.back().bytes;
}

LoadedBlock::LoadedBlock(BlockReader& reader, BlockRequest request)
    : reader_(reader), request_(std::move(request)), size_(request_.bytes()) {
  reader_.memory_bytes_ += BlockBuffers::capacity_for(size_);
}

LoadedBlock::~LoadedBlock() {
  { const BlockBuffer back = std::move(buffer_); }
  reader_.memory_bytes_ -= BlockBuffers::capacity_for(size_);
  reader_.signal_->ring();
}

BlockReader::BlockReader(imgpack::FileSystem& fs, std::vector<std::filesystem::path> shards,
                         const BlockReaderOptions& options, std::shared_ptr<Signal> signal)
    : fs_(fs), shards_(std::move(shards)), options_(options), signal_(std::move(signal)), buffers_(options.keep_bytes) {
  for (uint32_t i = 0; i < std::max(options.threads, 1u); ++i) threads_.emplace_back([this] { run(); });
}

BlockReader::~BlockReader() {
  cancel();
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  work_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

std::shared_ptr<LoadedBlock> BlockReader::request(BlockRequest request) {
  std::shared_ptr<LoadedBlock> block(new LoadedBlock(*this, std::move(request)));
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(block);
  }
  work_.notify_one();
  return block;
}

void BlockReader::cancel() {
  std::deque<std::shared_ptr<LoadedBlock>> dropped;
  {
    const std::lock_guard lock(mutex_);
    dropped.swap(queue_);
  }
  for (const auto& block : dropped) {
    block->error_ = std::make_exception_ptr(Error(ErrorKind::kInterrupted, "reading was cancelled"));
    block->status_.store(BlockStatus::kFailed, std::memory_order_release);
  }
  const std::lock_guard lock(files_mutex_);
  files_.clear();
}

void BlockReader::run() {
  for (;;) {
    std::shared_ptr<LoadedBlock> block;
    {
      std::unique_lock lock(mutex_);
      work_.wait(lock, [&] { return stop_ || !queue_.empty(); });
      if (stop_) return;
      block = std::move(queue_.front());
      queue_.pop_front();
    }
    BlockStatus status = BlockStatus::kReady;
    try {
      load(*block);
    } catch (...) {
      block->error_ = std::current_exception();
      status = BlockStatus::kFailed;
    }
    block->status_.store(status, std::memory_order_release);
    signal_->ring();
  }
}

void BlockReader::load(LoadedBlock& block) {
  const auto start = std::chrono::steady_clock::now();
  const auto shard = file(block.request_.shard);
  // Before any memory is taken: the index may be lying, or the shard may have been cut off.
  for (const BlockExtent& extent : block.request_.extents) {
    if (extent.offset > shard->size() || extent.bytes > shard->size() - extent.offset)
      throw Error(ErrorKind::kCorruption,
                  "shard is shorter than its index says: expected " + std::to_string(extent.offset + extent.bytes) +
                      " bytes or more, found " + std::to_string(shard->size()),
                  shard->path(), extent.offset, "imgpack verify " + shard->path().parent_path().string());
  }
  block.buffer_ = buffers_.take(block.size_);
  for (const BlockExtent& extent : block.request_.extents) {
    const size_t got = shard->read_at(extent.offset, {block.buffer_.data() + extent.at, extent.bytes});
    if (got != extent.bytes)
      throw Error(ErrorKind::kIo,
                  "file became shorter while it was read: expected " + std::to_string(extent.bytes) + " bytes, found " +
                      std::to_string(got),
                  shard->path(), extent.offset);
    ++reads_;
    bytes_read_ += extent.bytes;
  }
  read_nanoseconds_ += static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - start).count());
}

std::shared_ptr<imgpack::RandomAccessFile> BlockReader::file(uint32_t shard) {
  const std::lock_guard lock(files_mutex_);
  const auto found = std::find_if(files_.begin(), files_.end(), [&](const OpenFile& f) { return f.shard == shard; });
  OpenFile use;
  if (found != files_.end()) {
    use = *found;
    files_.erase(found);
  } else {
    use = {shard, fs_.open(shards_.at(shard))};
    if (files_.size() >= std::max(options_.open_files, 1u)) files_.pop_back();
  }
  files_.push_front(use);
  return use.file;
}

}  // namespace imgtrain::data
