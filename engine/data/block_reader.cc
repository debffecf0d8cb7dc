#include "engine/data/block_reader.h"

#include <algorithm>
#include <string>
#include <utility>

#include "format/error.h"

namespace imgtrain::data {
namespace {

using imgpack::Error;
using imgpack::ErrorKind;

// Room for the sectors that an extent begins and ends in, should the file be read past the page cache.
constexpr uint64_t kSector = 4096;

uint64_t sectors(uint64_t bytes, uint64_t sector) {
  return (bytes + sector - 1) / sector * sector;
}

std::unique_ptr<ReadEngine> make_engine(imgpack::FileSystem& fs, const BlockReaderOptions& options) {
  if (options.backend != ReadBackend::kThreads && fs.has_descriptors()) {
    if (auto engine = make_uring_engine(options.ring_reads)) return engine;
  }
  if (options.backend == ReadBackend::kIoUring)
    throw Error(ErrorKind::kUsage, "io_uring is not to be had: the kernel lacks it or this process may not use it", {},
                {}, "read with threads instead");
  return make_thread_engine(options.threads);
}

}  // namespace

uint64_t BlockRequest::bytes() const {
  return extents.empty() ? 0 : extents.back().at + extents.back().bytes;
}

LoadedBlock::LoadedBlock(BlockReader& reader, BlockRequest request)
    : reader_(reader), request_(std::move(request)), capacity_(reader.memory_for(request_)) {
  reader_.memory_bytes_ += capacity_;
}

LoadedBlock::~LoadedBlock() {
  { const BlockBuffer back = std::move(buffer_); }
  reader_.memory_bytes_ -= capacity_;
  reader_.signal_->ring();
}

std::span<const std::byte> LoadedBlock::bytes(uint64_t at, uint64_t count) const {
  const auto after = std::upper_bound(request_.extents.begin(), request_.extents.end(), at,
                                      [](uint64_t value, const BlockExtent& extent) { return value < extent.at; });
  const size_t extent = static_cast<size_t>(after - request_.extents.begin()) - 1;
  return {buffer_.data() + placed_at_[extent] + (at - request_.extents[extent].at), count};
}

// Ties a block to the engine for as long as it is being read.
class BlockReader::Task : public ReadTask {
 public:
  explicit Task(std::shared_ptr<LoadedBlock> block) : block_(std::move(block)) {}
  ReadJob begin() override { return block_->reader_.begin(*block_); }
  void end(std::exception_ptr error) noexcept override { block_->reader_.end(*block_, std::move(error)); }

 private:
  const std::shared_ptr<LoadedBlock> block_;
};

BlockReader::BlockReader(imgpack::FileSystem& fs, ShardPath shard_path, const BlockReaderOptions& options,
                         std::shared_ptr<Signal> signal)
    : fs_(fs),
      shard_path_(std::move(shard_path)),
      options_(options),
      signal_(std::move(signal)),
      buffers_(options.keep_bytes),
      cache_mode_(options.cache),
      engine_(make_engine(fs, options)) {}

BlockReader::~BlockReader() {
  engine_.reset();
}

size_t BlockReader::memory_for(const BlockRequest& request) const {
  const size_t bytes = request.bytes() + 2 * kSector * request.extents.size(), usual = options_.usual_bytes;
  return BlockBuffers::capacity_for(bytes <= usual && bytes > usual / 2 ? usual : bytes);
}

std::shared_ptr<LoadedBlock> BlockReader::request(BlockRequest request) {
  std::shared_ptr<LoadedBlock> block(new LoadedBlock(*this, std::move(request)));
  engine_->submit(std::make_shared<Task>(block));
  return block;
}

void BlockReader::cancel() {
  engine_->cancel_queued();
  const std::lock_guard lock(files_mutex_);
  files_.clear();
}

ReadJob BlockReader::begin(LoadedBlock& block) {
  const auto shard = file(block.request_.shard);
  block.path_ = shard->path();
  const uint64_t sector = shard->alignment();
  if (sector > kSector) throw Error(ErrorKind::kInternal, "alignment above 4096 bytes", shard->path());
  // Before any memory is taken: the index may be lying, or the shard may have been cut off.
  for (const BlockExtent& extent : block.request_.extents) {
    if (extent.offset > shard->size() || extent.bytes > shard->size() - extent.offset)
      throw Error(ErrorKind::kCorruption,
                  "shard is shorter than its index says: expected " + std::to_string(extent.offset + extent.bytes) +
                      " bytes or more, found " + std::to_string(shard->size()),
                  shard->path(), extent.offset, "imgpack verify " + shard->path().parent_path().string());
  }
  block.buffer_ = buffers_.take(block.capacity_);
  block.file_ = shard;
  ReadJob job{shard, {}};
  uint64_t end = 0;
  for (const BlockExtent& extent : block.request_.extents) {
    const uint64_t lead = extent.offset % sector;
    const uint64_t begin = sectors(end, sector), bytes = sectors(lead + extent.bytes, sector);
    block.placed_at_.push_back(begin + lead);
    job.parts.push_back({extent.offset - lead, {block.buffer_.data() + begin, bytes}, lead + extent.bytes});
    end = begin + bytes;
  }
  return job;
}

void BlockReader::end(LoadedBlock& block, std::exception_ptr error) {
  if (error == nullptr && cache_mode_ == CacheMode::kDrop) {
    for (const BlockExtent& extent : block.request_.extents) block.file_->forget(extent.offset, extent.bytes);
  }
  block.file_.reset();
  block.error_ = std::move(error);
  block.status_.store(block.error_ == nullptr ? BlockStatus::kReady : BlockStatus::kFailed, std::memory_order_release);
  signal_->ring();
}

std::shared_ptr<imgpack::RandomAccessFile> BlockReader::open(const std::filesystem::path& path) {
  if (cache_mode_ == CacheMode::kDirect) {
    if (std::shared_ptr<imgpack::RandomAccessFile> direct = fs_.open_direct(path)) return direct;
    cache_mode_ = CacheMode::kDrop;
  }
  return fs_.open(path);
}

std::shared_ptr<imgpack::RandomAccessFile> BlockReader::file(uint32_t shard) {
  const std::lock_guard lock(files_mutex_);
  const auto found = std::find_if(files_.begin(), files_.end(), [&](const OpenFile& f) { return f.shard == shard; });
  OpenFile use;
  if (found != files_.end()) {
    use = *found;
    files_.erase(found);
  } else {
    use = {shard, open(shard_path_(shard))};
    if (files_.size() >= std::max(options_.open_files, 1u)) files_.pop_back();
  }
  files_.push_front(use);
  return use.file;
}

}  // namespace imgtrain::data
