#include "engine/data/remote_shards.h"

#include <gmock/gmock.h>

#include <atomic>
#include <set>
#include <thread>

#include "format/error.h"
#include "format/record.h"
#include "format/remote_files.h"
#include "tests/support/expect_error.h"
#include "tests/unit/data/pipeline_fixture.h"

namespace imgtrain::data {
namespace {

using imgpack::Error;
using imgpack::ErrorKind;
using imgpack::test::MemoryFileSystem;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;

const std::filesystem::path kCache = "/fast/cache";

// A memory in which everything under /photos.shards lies behind a network: reads there are counted and can go wrong.
class FarAway : public MemoryFileSystem, public imgpack::RemoteFiles {
 public:
  static bool is_remote(const std::filesystem::path& path) { return path.native().starts_with("/photos"); }
  std::optional<imgpack::RemoteReading> reading(const std::filesystem::path& path) const override {
    return is_remote(path) ? std::optional(imgpack::RemoteReading{3, 0}) : std::nullopt;
  }

  std::unique_ptr<imgpack::RandomAccessFile> open(const std::filesystem::path& path) override {
    auto file = MemoryFileSystem::open(path);
    if (!is_remote(path) || path.extension() != ".ipk") return file;
    return std::make_unique<Far>(*this, std::move(file));
  }

  // Folders below `real` are made on the disk too, for the locks in them.
  void make_directories(const std::filesystem::path& path) override {
    MemoryFileSystem::make_directories(path);
    if (!real.empty() && path.native().starts_with(real.native())) std::filesystem::create_directories(path);
  }

  uint64_t free_bytes(const std::filesystem::path& path) override {
    return std::min(free, MemoryFileSystem::free_bytes(path));
  }

  // As the operating system's: held by one at a time, whoever that is.
  std::unique_ptr<imgpack::ByteLock> try_lock(const std::filesystem::path& path, uint64_t number) {
    const std::lock_guard lock(lock_mutex);
    if (!locked.emplace(path.native(), number).second) return nullptr;
    return std::make_unique<Held>(*this, path.native(), number);
  }

  std::atomic<uint64_t> fetched{0};   // Bytes.
  std::atomic<int> wrong_reads{0};    // So many reads to come have one wrong byte.
  std::atomic<bool> same_byte{true};  // The wrong byte is the same each time.
  std::atomic<bool> broken{false};    // Every read fails.
  std::atomic<bool> hangs{false};     // Every read waits for its interruption.
  uint64_t free = ~uint64_t{0};
  std::filesystem::path real;

 private:
  class Far : public imgpack::RandomAccessFile, public imgpack::InterruptibleFile {
   public:
    Far(FarAway& owner, std::unique_ptr<imgpack::RandomAccessFile> base) : owner_(owner), base_(std::move(base)) {}
    size_t read_at(uint64_t offset, std::span<std::byte> out) const override {
      while (owner_.hangs && !interrupted_) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      if (interrupted_) throw Error(ErrorKind::kInterrupted, "interrupted");
      if (owner_.broken) throw Error(ErrorKind::kIo, "the network is gone", path());
      const size_t got = base_->read_at(offset, out);
      owner_.fetched += got;
      const int left = owner_.wrong_reads.fetch_sub(1);
      if (left > 0) out[owner_.same_byte ? got / 2 : got / 2 + static_cast<size_t>(left)] ^= std::byte{1};
      return got;
    }
    uint64_t size() const override { return base_->size(); }
    const std::filesystem::path& path() const override { return base_->path(); }
    void interrupt() const override { interrupted_ = true; }

   private:
    FarAway& owner_;
    const std::unique_ptr<imgpack::RandomAccessFile> base_;
    mutable std::atomic<bool> interrupted_{false};
  };

  struct Held : imgpack::ByteLock {
    Held(FarAway& fs, std::string path, uint64_t number) : fs_(fs), name_(std::move(path), number) {}
    ~Held() override {
      const std::lock_guard lock(fs_.lock_mutex);
      fs_.locked.erase(name_);
    }
    FarAway& fs_;
    const std::pair<std::string, uint64_t> name_;
  };
  std::mutex lock_mutex;
  std::set<std::pair<std::string, uint64_t>> locked;
};

struct Remote : testing::Test {
  Remote() {
    for (const auto& [path, bytes] : photos.fs.all_files()) far.set_bytes(path, bytes);
    dataset = imgpack::Dataset::open(far, photos.folder);
    options.cache = kCache;
    options.keep_free_bytes = 0;
    options.unit_bytes = 20'000;
    options.try_lock = [this](const std::filesystem::path& path, uint64_t number) {
      return far.try_lock(path, number);
    };
    for (const imgpack::ShardSummary& shard : split().info.shards) all_records += shard.index_offset;
    for (uint32_t s = 0; s < 3; ++s) all_records -= split().offset[split().first_record[s]];
  }

  const imgpack::SplitView& split() const { return dataset.split("train"); }
  std::filesystem::path shard(uint32_t number) const { return dataset.shard_path("train", number); }

  // Reads every record of the split by itself, and compares it with what lies far away.
  void read_all(RemoteShards& shards) {
    for (uint32_t s = 0; s < 3; ++s) {
      const auto file = shards.open(shard(s));
      const std::string expected = far.bytes(shard(s));
      for (uint64_t r = split().first_record[s]; r < split().first_record[s + 1]; ++r) {
        std::vector<std::byte> bytes(split().columns.record_bytes[r]);
        ASSERT_EQ(file->read_at(split().offset[r], bytes), bytes.size());
        ASSERT_EQ(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()),
                  expected.substr(split().offset[r], bytes.size()));
      }
    }
  }

  std::vector<std::filesystem::path> units() {
    std::vector<std::filesystem::path> found;
    for (const auto& [path, bytes] : far.all_files())
      if (path.starts_with(kCache.native())) found.emplace_back(path);
    return found;
  }
  uint64_t cached_bytes() {
    uint64_t bytes = 0;
    for (const auto& path : units()) bytes += far.bytes(path).size();
    return bytes;
  }

  PhotoDataset photos;
  FarAway far;
  imgpack::Dataset dataset;
  RemoteShardsOptions options;
  uint64_t all_records = 0;  // Bytes.
};

TEST_F(Remote, EveryByteIsFetchedOnceAndThenReadFromTheCache) {
  RemoteShards shards(far, dataset, "train", options);
  read_all(shards);
  EXPECT_EQ(far.fetched, all_records);
  EXPECT_EQ(cached_bytes(), all_records);
  read_all(shards);
  EXPECT_EQ(far.fetched, all_records);
  EXPECT_EQ(shards.counters().refetched, 0u);
}

TEST_F(Remote, AnotherRunFindsTheCacheWithoutTheNetwork) {
  {
    RemoteShards first(far, dataset, "train", options);
    read_all(first);
  }
  far.broken = true;
  RemoteShards second(far, dataset, "train", options);
  read_all(second);
  EXPECT_EQ(second.counters().fetched_bytes, 0u);
}

TEST_F(Remote, ThreadsAndRunsAtOnceFetchEveryUnitOnce) {
  RemoteShards one(far, dataset, "train", options), two(far, dataset, "train", options);
  std::vector<std::thread> threads;
  for (RemoteShards* shards : {&one, &one, &two, &two}) threads.emplace_back([this, shards] { read_all(*shards); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(far.fetched, all_records);
}

TEST_F(Remote, AUnitThatAnotherProcessNeverLetsGoOfIsReadWithoutIt) {
  options.turn = std::chrono::milliseconds(20);
  const RemoteShardsOptions other = options;
  std::vector<std::unique_ptr<imgpack::ByteLock>> held;
  std::mutex mutex;
  // The first to want a lock is a process that hangs with it.
  options.try_lock = [&](const std::filesystem::path& path, uint64_t number) {
    const std::lock_guard lock(mutex);
    if (held.empty()) held.push_back(far.try_lock(path, number));
    return far.try_lock(path, number);
  };
  RemoteShards shards(far, dataset, "train", options);
  read_all(shards);
  EXPECT_THAT(shards.take_notes(), Contains(HasSubstr("another process has been fetching it for too long")));
  EXPECT_LT(cached_bytes(), all_records);
  held.clear();
  RemoteShards later(far, dataset, "train", other);
  read_all(later);
  EXPECT_EQ(cached_bytes(), all_records) << "what was given up once is kept by the next";
}

TEST_F(Remote, WithoutACacheEverythingIsFetchedEveryTime) {
  options.cache.clear();
  RemoteShards shards(far, dataset, "train", options);
  read_all(shards);
  read_all(shards);
  EXPECT_EQ(far.fetched, 2 * all_records);
  EXPECT_TRUE(units().empty());
}

TEST_F(Remote, WrongBytesOnTheWayAreFetchedAgainAndNeverKept) {
  for (const bool cached : {true, false}) {
    if (!cached) options.cache.clear();
    far.wrong_reads = 1;
    RemoteShards shards(far, dataset, "train", options);
    read_all(shards);
    EXPECT_EQ(shards.counters().refetched, 1u);
    EXPECT_THAT(shards.take_notes(), Contains(HasSubstr("wrong bytes came over the network")));
  }
}

TEST_F(Remote, ANetworkThatNeverBringsTheSameIsAnError) {
  far.wrong_reads = 1000;
  far.same_byte = false;
  RemoteShards shards(far, dataset, "train", options);
  const auto file = shards.open(shard(0));
  std::vector<std::byte> bytes(split().columns.record_bytes[0]);
  EXPECT_ERROR(file->read_at(split().offset[0], bytes), ErrorKind::kIo, "every fetch brings other bytes");
  EXPECT_TRUE(units().empty());
}

TEST_F(Remote, ARecordDamagedInTheObjectIsHandedOnAndItsUnitIsNotKept) {
  std::string bytes = far.bytes(shard(0));
  bytes[split().offset[3] + split().columns.record_bytes[3] / 2] ^= 1;
  far.set_bytes(shard(0), bytes);
  RemoteShards shards(far, dataset, "train", options);
  read_all(shards);  // Compares with the damaged bytes.
  EXPECT_LT(cached_bytes(), all_records);
  EXPECT_GT(cached_bytes(), all_records / 2);
}

TEST_F(Remote, ADamagedCacheIsNoticedAndMended) {
  {
    RemoteShards first(far, dataset, "train", options);
    read_all(first);
  }
  const auto files = units();
  ASSERT_GE(files.size(), 6u);
  std::string flipped = far.bytes(files[0]);
  flipped[flipped.size() / 2] ^= 1;
  far.set_bytes(files[0], flipped);
  far.set_bytes(files[1], "");                                          // What a power cut may leave.
  far.set_bytes(files[2], far.bytes(files[2]).substr(1));               // Cut short.
  far.set_bytes(files[3], std::string(far.bytes(files[3]).size(), 0));  // A hole.
  far.remove(files[4]);
  RemoteShards second(far, dataset, "train", options);
  read_all(second);
  RemoteShards third(far, dataset, "train", options);
  read_all(third);
  EXPECT_EQ(third.counters().fetched_bytes, 0u);
}

TEST_F(Remote, ALeftoverOfAKilledProcessIsReplaced) {
  {
    RemoteShards first(far, dataset, "train", options);
    read_all(first);
  }
  const auto files = units();
  const std::string bytes = far.bytes(files[0]);
  far.remove(files[0]);
  far.set_bytes(imgpack::temporary_path(files[0]), bytes.substr(0, 10));
  RemoteShards second(far, dataset, "train", options);
  read_all(second);
  EXPECT_EQ(units(), files);
}

TEST_F(Remote, TheLimitOfTheCacheHoldsAndTheRestIsReadFromFarAway) {
  options.cache_limit = all_records / 2;
  RemoteShards shards(far, dataset, "train", options);
  read_all(shards);
  EXPECT_LE(cached_bytes(), options.cache_limit);
  EXPECT_GT(cached_bytes(), options.cache_limit / 2);
  EXPECT_THAT(shards.take_notes(), Contains(AllOf(HasSubstr("the limit of"), HasSubstr("is reached"))));
  // What other datasets have there counts.
  far.set_bytes(kCache / "other" / "shard" / "0", std::string(options.cache_limit, 'x'));
  const uint64_t before = cached_bytes();
  RemoteShards again(far, dataset, "train", options);
  read_all(again);
  EXPECT_EQ(cached_bytes(), before);
}

TEST_F(Remote, TheLimitHoldsForManyThreadsAtOnce) {
  options.cache_limit = all_records / 2;
  options.unit_bytes = 5'000;
  for (int round = 0; round < 5; ++round) {
    for (const auto& path : units()) far.remove(path);
    RemoteShards shards(far, dataset, "train", options);
    std::vector<std::thread> threads;
    for (uint32_t s = 0; s < 3; ++s) {
      for (uint64_t part = 0; part < 4; ++part) {
        threads.emplace_back([&, s, part] {
          const auto file = shards.open(shard(s));
          for (uint64_t r = split().first_record[s] + part; r < split().first_record[s + 1]; r += 4) {
            std::vector<std::byte> bytes(split().columns.record_bytes[r]);
            file->read_at(split().offset[r], bytes);
          }
        });
      }
    }
    for (std::thread& thread : threads) thread.join();
    ASSERT_LE(cached_bytes(), options.cache_limit);
    ASSERT_GT(cached_bytes(), options.cache_limit / 4);
  }
}

TEST_F(Remote, TheDisksLastBytesAreLeftFree) {
  far.free = 1000;
  options.keep_free_bytes = 1000;
  RemoteShards shards(far, dataset, "train", options);
  read_all(shards);
  EXPECT_EQ(cached_bytes(), 0u);
  EXPECT_THAT(shards.take_notes(), Contains(HasSubstr("of the disk are free")));
}

TEST_F(Remote, AReadThatHangsEndsWhenItIsInterrupted) {
  far.hangs = true;
  RemoteShards shards(far, dataset, "train", options);
  const auto file = shards.open(shard(0));
  std::atomic<bool> ended{false};
  std::thread reader([&] {
    std::vector<std::byte> bytes(split().columns.record_bytes[0]);
    EXPECT_ERROR(file->read_at(split().offset[0], bytes), ErrorKind::kInterrupted, "");
    ended = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_FALSE(ended);
  shards.interrupt();
  reader.join();
}

// --- through the pipeline ---

TEST_F(Remote, BatchesAreThoseOfALocalDiskWithAndWithoutACache) {
  // Every record of every epoch.
  const auto every_record = [] {
    PipelineOptions wanted = small_pipeline();
    wanted.order.drop_last = false;
    return wanted;
  };
  BatchPipeline local(photos.fs, dataset, every_record());
  const auto expected = run_epoch(local, 1);
  const uint64_t digest = local.order_digest();
  const std::filesystem::path real = std::filesystem::path(testing::TempDir()) / "imgpack-remote-shards-test";
  std::filesystem::remove_all(real);
  far.real = real;
  for (const bool cached : {false, true}) {
    PipelineOptions wanted = every_record();
    if (cached) wanted.local_copy = real;
    BatchPipeline remote(far, dataset, wanted);
    EXPECT_EQ(run_epoch(remote, 1), expected);
    EXPECT_EQ(remote.order_digest(), digest);
    EXPECT_EQ(run_epoch(remote, 1), expected);
    EXPECT_THAT(remote.reading(), AllOf(HasSubstr("3 reads at once"), HasSubstr("over the network")));
    EXPECT_TRUE(remote.take_notes().empty());
    EXPECT_EQ(far.fetched, cached ? all_records : 2 * all_records);
    far.fetched = 0;
  }
  std::filesystem::remove_all(real);
}

TEST_F(Remote, EachRankFetchesItsOwnPartitionsAlone) {
  uint64_t all = 0;
  for (uint32_t rank = 0; rank < 2; ++rank) {
    PipelineOptions wanted = small_pipeline();
    wanted.order.drop_last = false;
    wanted.rank = rank;
    wanted.world = 2;
    far.fetched = 0;
    BatchPipeline pipeline(far, dataset, wanted);
    run_epoch(pipeline);
    EXPECT_LT(far.fetched, all_records * 6 / 10) << "rank " << rank;
    all += far.fetched;
  }
  EXPECT_EQ(all, all_records);
}

TEST_F(Remote, ANetworkThatFailsEndsTheEpochWithItsError) {
  BatchPipeline pipeline(far, dataset, small_pipeline());
  far.broken = true;
  pipeline.start_epoch(0);
  EXPECT_ERROR(drain(pipeline), ErrorKind::kIo, "the network is gone");
  far.broken = false;
  EXPECT_FALSE(run_epoch(pipeline).empty());
}

TEST_F(Remote, ADamagedRecordIsLeftOutAsOnALocalDisk) {
  std::string bytes = far.bytes(shard(1));
  const uint64_t record = split().first_record[1] + 2;
  bytes[split().offset[record] + split().columns.record_bytes[record] / 2] ^= 1;
  far.set_bytes(shard(1), bytes);
  PipelineOptions wanted = small_pipeline();
  BatchPipeline strict(far, dataset, wanted);
  strict.start_epoch(0);
  EXPECT_ERROR(drain(strict), ErrorKind::kCorruption, "photos.shards");
  wanted.max_bad_records = 1;
  BatchPipeline lenient(far, dataset, wanted);
  run_epoch(lenient);
  EXPECT_EQ(lenient.stage_seconds().left_out, 1u);
}

TEST_F(Remote, APipelineThatWaitsForTheNetworkIsDestroyedAtOnce) {
  BatchPipeline pipeline(far, dataset, small_pipeline());
  far.hangs = true;
  pipeline.start_epoch(0);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
}

}  // namespace
}  // namespace imgtrain::data
