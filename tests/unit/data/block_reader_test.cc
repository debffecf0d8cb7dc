#include "engine/data/block_reader.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <thread>

#include "engine/data/random_key.h"
#include "tests/support/expect_error.h"
#include "tests/support/memory_file_system.h"

namespace imgtrain::data {
namespace {

using imgpack::ErrorKind;

// A file on a real disk, with every backend and cache mode in turn.
struct Way {
  ReadBackend backend;
  CacheMode cache;
};

class BlockReaderOnDisk : public testing::TestWithParam<Way> {
 protected:
  BlockReaderOnDisk() {
    std::string name = (std::filesystem::temp_directory_path() / "block_reader_test-XXXXXX").string();
    folder_ = mkdtemp(name.data());
    KeyedRandom random(1, Purpose::kUser, 0);
    for (size_t i = 0; i < 5'000'123; ++i) content_.push_back(static_cast<char>(random.next_u32()));
    std::ofstream(shard(0), std::ios::binary) << content_;
  }
  ~BlockReaderOnDisk() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path shard(uint32_t number) const { return folder_ / ("shard" + std::to_string(number)); }

  std::unique_ptr<BlockReader> make_reader() {
    if (GetParam().backend == ReadBackend::kIoUring && make_uring_engine(1) == nullptr) return nullptr;
    BlockReaderOptions options;
    options.backend = GetParam().backend;
    options.cache = GetParam().cache;
    options.keep_bytes = 16 << 20;
    return std::make_unique<BlockReader>(
        imgpack::posix_file_system(), [this](uint32_t number) { return shard(number); }, options, signal_);
  }

  void wait_for(const LoadedBlock& block) {
    for (;;) {
      const uint64_t seen = signal_->count();
      if (block.status() != BlockStatus::kQueued) return;
      signal_->wait_beyond(seen);
    }
  }

  std::string_view text(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  std::filesystem::path folder_;
  std::string content_;
  std::shared_ptr<Signal> signal_ = std::make_shared<Signal>();
};

#define SKIP_WITHOUT(reader) \
  if ((reader) == nullptr) GTEST_SKIP() << "this kernel has no io_uring, or does not let this process use it"

TEST_P(BlockReaderOnDisk, GivesTheBytesOfEveryExtent) {
  const auto reader = make_reader();
  SKIP_WITHOUT(reader);
  const uint64_t size = content_.size();
  const std::vector<BlockRequest> requests = {
      {0, {{0, 10, 0}}},
      {0, {{0, size, 0}}},
      {0, {{4095, 2, 0}}},
      {0, {{size - 5, 5, 0}}},
      {0, {{100, 4000, 0}, {50'000, 1, 4000}, {1'000'000, 3'000'000, 4001}, {size - 77, 77, 3'004'001}}},
  };
  for (int round = 0; round < 3; ++round) {
    std::vector<std::shared_ptr<LoadedBlock>> blocks;
    for (const BlockRequest& request : requests) blocks.push_back(reader->request(request));
    for (size_t i = 0; i < blocks.size(); ++i) {
      wait_for(*blocks[i]);
      ASSERT_EQ(blocks[i]->status(), BlockStatus::kReady);
      for (const BlockExtent& extent : requests[i].extents) {
        EXPECT_TRUE(text(blocks[i]->bytes(extent.at, extent.bytes)) ==
                    std::string_view(content_).substr(extent.offset, extent.bytes))
            << "request " << i << " at " << extent.offset;
        EXPECT_EQ(text(blocks[i]->bytes(extent.at + extent.bytes - 1, 1))[0],
                  content_[extent.offset + extent.bytes - 1]);
      }
    }
  }
  while (reader->memory_bytes() > 0) std::this_thread::yield();  // The engine lets go of a block a moment later.
  EXPECT_GT(reader->counters().bytes, 2 * size);
  EXPECT_GT(reader->counters().busy_seconds, 0.0);
}

TEST_P(BlockReaderOnDisk, AnExtentBeyondTheFileIsDamageAndTakesNoMemory) {
  const auto reader = make_reader();
  SKIP_WITHOUT(reader);
  for (const BlockExtent& extent : {BlockExtent{content_.size() - 1, 2, 0}, BlockExtent{~uint64_t{0} - 5, 4, 0},
                                    BlockExtent{0, uint64_t{1} << 45, 0}}) {
    const auto block = reader->request({0, {extent}});
    wait_for(*block);
    ASSERT_EQ(block->status(), BlockStatus::kFailed);
    EXPECT_ERROR(std::rethrow_exception(block->error()), ErrorKind::kCorruption, "shorter than its index says");
  }
}

TEST_P(BlockReaderOnDisk, AMissingFileIsNamed) {
  const auto reader = make_reader();
  SKIP_WITHOUT(reader);
  const auto block = reader->request({7, {{0, 1, 0}}});
  wait_for(*block);
  ASSERT_EQ(block->status(), BlockStatus::kFailed);
  EXPECT_ERROR(std::rethrow_exception(block->error()), ErrorKind::kIo, "shard7");
}

TEST_P(BlockReaderOnDisk, CanBeDestroyedWithReadsInFlight) {
  for (int i = 0; i < 12; ++i) {
    auto reader = make_reader();
    SKIP_WITHOUT(reader);
    std::vector<std::shared_ptr<LoadedBlock>> blocks;
    for (int k = 0; k < 8; ++k) blocks.push_back(reader->request({0, {{0, 2'000'000, 0}}}));
    if (i % 2 == 0) reader->cancel();
    for (const auto& block : blocks) wait_for(*block);
    blocks.clear();
    auto last = reader->request({0, {{0, 4'000'000, 0}}});
    last.reset();
    reader.reset();
  }
}

INSTANTIATE_TEST_SUITE_P(
    Ways, BlockReaderOnDisk,
    testing::Values(Way{ReadBackend::kThreads, CacheMode::kKeep}, Way{ReadBackend::kThreads, CacheMode::kDrop},
                    Way{ReadBackend::kThreads, CacheMode::kDirect}, Way{ReadBackend::kIoUring, CacheMode::kKeep},
                    Way{ReadBackend::kIoUring, CacheMode::kDrop}, Way{ReadBackend::kIoUring, CacheMode::kDirect}),
    [](const testing::TestParamInfo<Way>& way) {
      return std::string(way.param.backend == ReadBackend::kThreads ? "threads_" : "io_uring_") +
             std::string(to_string(way.param.cache));
    });

TEST(BlockReader, FallsBackToThreadsWhereThereAreNoDescriptors) {
  imgpack::test::MemoryFileSystem fs;
  fs.set_bytes("/shard", "hello");
  const auto signal = std::make_shared<Signal>();
  BlockReader reader(
      fs, [](uint32_t) { return "/shard"; }, {}, signal);
  EXPECT_STREQ(reader.backend(), "threads");
  BlockReaderOptions options;
  options.backend = ReadBackend::kIoUring;
  EXPECT_ERROR(BlockReader(
                   fs, [](uint32_t) { return "/shard"; }, options, signal),
               ErrorKind::kUsage, "io_uring");
}

TEST(BlockReader, ReadsThroughThePageCacheWhereItCannotGoPastIt) {
  imgpack::test::MemoryFileSystem fs;
  fs.set_bytes("/shard", "hello");
  const auto signal = std::make_shared<Signal>();
  BlockReaderOptions options;
  options.cache = CacheMode::kDirect;
  BlockReader reader(
      fs, [](uint32_t) { return "/shard"; }, options, signal);
  const auto block = reader.request({0, {{1, 3, 0}}});
  while (block->status() == BlockStatus::kQueued) std::this_thread::yield();
  EXPECT_EQ(block->status(), BlockStatus::kReady);
  EXPECT_EQ(reader.cache_mode(), CacheMode::kDrop);
}

TEST(CachePolicy, KeepsWhatFitsAndReadsTheRestPastTheCache) {
  const uint64_t gib = 1 << 30;
  EXPECT_EQ(decide_cache(CacheMode::kAuto, 10 * gib, 16 * gib).mode, CacheMode::kKeep);
  EXPECT_EQ(decide_cache(CacheMode::kAuto, 13 * gib, 16 * gib).mode, CacheMode::kDirect);
  EXPECT_EQ(decide_cache(CacheMode::kAuto, 140 * gib, 0).mode, CacheMode::kKeep);
  EXPECT_EQ(decide_cache(CacheMode::kDrop, 1, 16 * gib).mode, CacheMode::kDrop);
  EXPECT_EQ(decide_cache(CacheMode::kAuto, 13 * gib, 16 * gib).reason,
            "13 GiB of shards, 16 GiB of memory available: every epoch is read from the disk");
  EXPECT_GT(available_memory_bytes(), 0u);
}

TEST(CachePolicy, ModesAreReadByName) {
  for (const CacheMode mode : {CacheMode::kAuto, CacheMode::kKeep, CacheMode::kDrop, CacheMode::kDirect})
    EXPECT_EQ(parse_cache_mode(to_string(mode)), mode);
  EXPECT_EQ(parse_cache_mode("none"), std::nullopt);
}

TEST(BlockReader, GivesBlocksOfAboutTheUsualSizeEqualMemory) {
  constexpr size_t kStep = size_t{256} << 10;
  BlockReaderOptions options;
  options.backend = ReadBackend::kThreads;
  const auto memory = [&](uint64_t bytes, size_t usual) {
    options.usual_bytes = usual;
    const BlockReader reader(
        imgpack::posix_file_system(), [](uint32_t) { return std::filesystem::path(); }, options,
        std::make_shared<Signal>());
    return reader.memory_for({0, {{0, bytes, 0}}});
  };
  EXPECT_EQ(memory(15 * kStep, 17 * kStep), 17 * kStep);
  EXPECT_EQ(memory(9 * kStep, 17 * kStep), 17 * kStep);
  EXPECT_EQ(memory(7 * kStep, 17 * kStep), 8 * kStep) << "a small data set must not look like a large one";
  EXPECT_EQ(memory(17 * kStep, 17 * kStep), 18 * kStep) << "larger than the usual ones";
  EXPECT_EQ(memory(9 * kStep, 0), 10 * kStep);
}

TEST(BlockBuffers, LendOutWhatWasGivenBack) {
  BlockBuffers buffers(1 << 20);
  std::byte* first = nullptr;
  {
    const BlockBuffer buffer = buffers.take(1000);
    first = buffer.data();
    EXPECT_EQ(buffer.capacity(), size_t{256} << 10);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(first) % 4096, 0u);
  }
  EXPECT_EQ(buffers.take(200'000).data(), first);
}

TEST(BlockBuffers, KeepNoMoreThanAllowedBesideWhatIsLentOut) {
  constexpr size_t kStep = size_t{256} << 10;
  BlockBuffers buffers(4 * kStep);
  BlockBuffer lent = buffers.take(2 * kStep);
  { const BlockBuffer small = buffers.take(kStep); }
  EXPECT_EQ(buffers.free_bytes(), kStep);
  // Three steps more would be six in all: the free one goes.
  { const BlockBuffer large = buffers.take(3 * kStep); }
  EXPECT_EQ(buffers.free_bytes(), 0u);
  { const BlockBuffer back = std::move(lent); }
  EXPECT_EQ(buffers.free_bytes(), 2 * kStep);
}

}  // namespace
}  // namespace imgtrain::data
