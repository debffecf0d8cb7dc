// Blocks of shards through BlockReader, every record parsed and its checksums verified: what the disk (or, for a URL,
// the network) and the format allow before anything is decoded.
#include <deque>

#include "engine/data/block_plan.h"
#include "engine/data/block_reader.h"
#include "engine/data/remote_shards.h"
#include "format/dataset.h"
#include "format/error.h"
#include "format/record.h"
#include "format/remote/remote_file_system.h"
#include "format/shard_reader.h"
#include "tools/imgbench/workloads.h"

namespace imgbench {
namespace {

using imgpack::Dataset;
using imgpack::Error;
using imgpack::ErrorKind;
using imgtrain::data::Block;
using imgtrain::data::BlockReader;
using imgtrain::data::BlockStatus;
using imgtrain::data::LoadedBlock;

constexpr uint64_t kBlockBytes = 4ull << 20, kAheadBytes = 64ull << 20;
constexpr uint32_t kConnections = 16;                              // Of a URL, as in training,
constexpr uint64_t kAheadRemote = 2 * kConnections * kBlockBytes;  // and with as much memory.

class ReadWorkload : public Workload {
 public:
  explicit ReadWorkload(const BenchSettings& settings)
      : fs_(imgpack::remote::any_file_system()),
        dataset_(Dataset::open(fs_, settings.shards)),
        split_(dataset_.split(settings.split)),
        plan_(imgtrain::data::plan_blocks(split_, 1, kBlockBytes)),
        signal_(std::make_shared<imgtrain::data::Signal>()),
        remote_(imgpack::how_to_read(fs_, settings.shards)
                    ? std::make_unique<imgtrain::data::RemoteShards>(fs_, dataset_, settings.split,
                                                                     imgtrain::data::RemoteShardsOptions())
                    : nullptr),
        reader_(
            remote_ != nullptr ? *remote_ : fs_,
            [this](uint32_t shard) { return dataset_.shard_path(split_.info.name, shard); },
            reader_options(remote_ != nullptr), signal_) {
    if (split_.records() == 0)
      throw Error(ErrorKind::kInvalidInput, "split " + settings.split + " has no records", settings.shards);
  }

  std::string check() override {
    const Work work = read_all(true);
    if (work.items != split_.records())
      throw Error(ErrorKind::kInternal, "read: expected " + std::to_string(split_.records()) + " records, found " +
                                            std::to_string(work.items));
    return "every record's checksums and index row";
  }

  // From the network, RemoteShards has compared the checksums already: damaged records are fetched again.
  Work run() override { return read_all(remote_ == nullptr); }

  std::vector<std::filesystem::path> files() const override {
    std::vector<std::filesystem::path> paths;
    if (remote_ != nullptr) return paths;
    for (uint32_t s = 0; s < split_.info.shards.size(); ++s) paths.push_back(dataset_.shard_path(split_.info.name, s));
    return paths;
  }

 private:
  Work read_all(bool compare) {
    Work work;
    struct Ahead {
      const Block* block;
      std::shared_ptr<LoadedBlock> loaded;
    };
    std::deque<Ahead> ahead;
    size_t next = 0;
    while (next < plan_.blocks.size() || !ahead.empty()) {
      while (next < plan_.blocks.size() && (ahead.empty() || reader_.memory_bytes() + kBlockBytes <= ahead_bytes())) {
        const Block& block = plan_.blocks[next++];
        ahead.push_back({&block, reader_.request({split_.shard[block.first_record], {extent_of(block)}})});
      }
      const Ahead front = std::move(ahead.front());
      ahead.pop_front();
      for (uint64_t seen = signal_->count(); front.loaded->status() == BlockStatus::kQueued; seen = signal_->count()) {
        if (front.loaded->status() == BlockStatus::kQueued) signal_->wait_beyond(seen);
      }
      if (front.loaded->status() == BlockStatus::kFailed) std::rethrow_exception(front.loaded->error());
      const uint64_t bytes = extent_of(*front.block).bytes;
      if (compare) check_records(*front.block, front.loaded->bytes(0, bytes));
      work.items += front.block->records;
      work.bytes += bytes;
    }
    return work;
  }

  uint64_t ahead_bytes() const { return remote_ != nullptr ? kAheadRemote : kAheadBytes; }

  static imgtrain::data::BlockReaderOptions reader_options(bool remote) {
    imgtrain::data::BlockReaderOptions options;
    options.keep_bytes = remote ? kAheadRemote : kAheadBytes;
    options.usual_bytes = kBlockBytes + (256u << 10);  // And part of a record.
    if (remote) options.threads = kConnections;
    return options;
  }

  imgtrain::data::BlockExtent extent_of(const Block& block) const {
    const uint64_t last = block.first_record + block.records - 1, begin = split_.offset[block.first_record];
    return {begin, split_.offset[last] + split_.columns.record_bytes[last] - begin, 0};
  }

  void check_records(const Block& block, std::span<const std::byte> bytes) const {
    const auto path = dataset_.shard_path(split_.info.name, split_.shard[block.first_record]);
    for (uint64_t r = block.first_record; r < block.first_record + block.records; ++r) {
      const uint64_t at = split_.offset[r] - split_.offset[block.first_record];
      const auto record =
          imgpack::parse_record(bytes.subspan(at, split_.columns.record_bytes[r]), path, split_.offset[r]);
      imgpack::check_against_index(record, split_.columns, r, path, split_.offset[r]);
    }
  }

  imgpack::FileSystem& fs_;
  const Dataset dataset_;
  const imgpack::SplitView& split_;
  const imgtrain::data::BlockPlan plan_;
  const std::shared_ptr<imgtrain::data::Signal> signal_;
  const std::unique_ptr<imgtrain::data::RemoteShards> remote_;  // nullptr: files of this machine.
  BlockReader reader_;
};

}  // namespace

WorkloadEntry read_workload() {
  return {"read", "Blocks of shards, checksums verified, nothing decoded", "records", Needs::kShards,
          [](const BenchSettings& settings) { return std::make_unique<ReadWorkload>(settings); }};
}

}  // namespace imgbench
