// What a damaged or missing shard does to a pipeline: the batches before it arrive, then an error that names the
// place and the sample.
#include <gmock/gmock.h>

#include <chrono>
#include <latch>
#include <thread>

#include "tests/support/expect_error.h"
#include "tests/support/tiny_dataset.h"
#include "tests/unit/data/pipeline_fixture.h"

namespace imgtrain::data {
namespace {

using imgpack::Error;
using imgpack::ErrorKind;
using testing::HasSubstr;

struct Failing : testing::Test {
  Failing() : dataset(photos.open()), split(dataset.split("train")), order(split, small_pipeline().order) {}

  std::filesystem::path shard_of(uint64_t record) { return dataset.shard_path("train", split.shard[record]); }

  void flip_bit(uint64_t record, uint64_t at) {
    std::string bytes = photos.fs.bytes(shard_of(record));
    bytes.at(split.offset[record] + at) ^= 4;
    photos.fs.set_bytes(shard_of(record), bytes);
  }

  // Runs epoch 0 until it fails; says how many batches came and what the error was.
  std::pair<size_t, std::string> run_until_failure(PipelineOptions options, ErrorKind kind) {
    BatchPipeline pipeline(photos.fs, dataset, options);
    pipeline.start_epoch(0);
    size_t batches = 0;
    for (;;) {
      try {
        if (!pipeline.next().has_value()) return {batches, "no error"};
        ++batches;
      } catch (const Error& failure) {
        EXPECT_EQ(failure.kind(), kind) << failure.what();
        const std::string text = failure.what();
        EXPECT_ERROR(pipeline.next(), kind, text);  // Again and again, until the next start.
        return {batches, text};
      }
    }
  }

  PhotoDataset photos;
  const imgpack::Dataset dataset;
  const imgpack::SplitView& split;
  const SampleOrder order;
};

TEST_F(Failing, ADamagedRecordStopsAtItsBatchAndNamesShardOffsetAndSample) {
  const uint64_t record = order.global_batch(0, 4)[9].record;
  flip_bit(record, split.columns.record_bytes[record] / 2);
  const auto [batches, text] = run_until_failure(small_pipeline(), ErrorKind::kCorruption);
  EXPECT_EQ(batches, 4u);
  const std::string place = shard_of(record).string() + "@";
  ASSERT_THAT(text, testing::StartsWith(place));
  const uint64_t offset = std::stoull(text.substr(place.size()));  // Of the record or of the section in it.
  EXPECT_GE(offset, split.offset[record]);
  EXPECT_LT(offset, split.offset[record] + split.columns.record_bytes[record]);
  EXPECT_THAT(text, HasSubstr("record " + std::to_string(record) + " of split train"));
  EXPECT_THAT(text, HasSubstr("imgpack verify"));
}

TEST_F(Failing, OfSeveralDamagedRecordsTheFirstOfTheOrderIsReportedForAnyThreadCount) {
  const auto batch = order.global_batch(0, 2);
  for (const size_t at : {20u, 11u, 30u}) flip_bit(batch[at].record, 100);
  for (const uint32_t threads : {1u, 2u, 5u}) {
    PipelineOptions options = small_pipeline();
    options.threads = threads;
    const auto [batches, text] = run_until_failure(options, ErrorKind::kCorruption);
    EXPECT_EQ(batches, 2u);
    EXPECT_THAT(text, HasSubstr("record " + std::to_string(batch[11].record) + " of"));
  }
}

TEST_F(Failing, NamesTheSampleWhereTheIndexHasNames) {
  const uint64_t record = order.global_batch(0, 0)[0].record;
  flip_bit(record, split.columns.record_bytes[record] - 1);
  const imgpack::Dataset named = photos.open(imgpack::ReadNames::kYes);
  BatchPipeline pipeline(photos.fs, named, small_pipeline());
  pipeline.start_epoch(0);
  EXPECT_ERROR(pipeline.next(), ErrorKind::kCorruption, "sample " + named.split("train").columns.names[record]);
}

TEST_F(Failing, AnImageThatCannotBeDecodedNamesTheSampleToo) {
  imgpack::Record record;
  record.meta.name = "n01440764/broken.JPEG";
  record.meta.id = imgpack::sample_id("train", record.meta.name);
  record.meta.label = 0;
  record.meta.width = record.meta.height = 32;
  record.sections.push_back({imgpack::SectionType::kImage, true, std::vector<std::byte>(100, std::byte{7})});
  imgpack::test::SplitRecords broken{"train", {record}, 1, true};
  imgpack::test::MemoryFileSystem fs;
  imgpack::test::write_dataset(fs, "/broken.shards", {broken});
  const imgpack::Dataset opened = imgpack::Dataset::open(fs, "/broken.shards");
  BatchPipeline pipeline(fs, opened, small_pipeline());
  pipeline.start_epoch(0);
  EXPECT_ERROR(pipeline.next(), ErrorKind::kCorruption, "sample n01440764/broken.JPEG");
}

TEST_F(Failing, AMissingShardIsReportedByName) {
  photos.fs.remove(dataset.shard_path("train", 1));
  EXPECT_THAT(run_until_failure(small_pipeline(), ErrorKind::kIo).second, HasSubstr("train-00001.ipk"));
}

TEST_F(Failing, AShardThatWasCutOffIsDamage) {
  const auto path = dataset.shard_path("train", 2);
  photos.fs.set_bytes(path, photos.fs.bytes(path).substr(0, 5000));
  const std::string text = run_until_failure(small_pipeline(), ErrorKind::kCorruption).second;
  EXPECT_THAT(text, HasSubstr("train-00002.ipk"));
  EXPECT_THAT(text, HasSubstr("shorter than its index says"));
}

TEST_F(Failing, AfterAFailureAnotherEpochCanBeStarted) {
  const uint64_t record = order.global_batch(0, 0)[0].record;
  const std::string whole = photos.fs.bytes(shard_of(record));
  flip_bit(record, 50);
  BatchPipeline pipeline(photos.fs, dataset, small_pipeline());
  pipeline.start_epoch(0);
  EXPECT_THROW(pipeline.next(), Error);
  photos.fs.set_bytes(shard_of(record), whole);
  EXPECT_EQ(run_epoch(pipeline).size(), pipeline.batches_per_epoch());
}

// Every read takes a while.
class SlowFileSystem : public imgpack::test::MemoryFileSystem {
 public:
  std::unique_ptr<imgpack::RandomAccessFile> open(const std::filesystem::path& path) override {
    return std::make_unique<SlowFile>(MemoryFileSystem::open(path));
  }

 private:
  class SlowFile : public imgpack::RandomAccessFile {
   public:
    explicit SlowFile(std::unique_ptr<imgpack::RandomAccessFile> file) : file_(std::move(file)) {}
    size_t read_at(uint64_t offset, std::span<std::byte> out) const override {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      return file_->read_at(offset, out);
    }
    uint64_t size() const override { return file_->size(); }
    const std::filesystem::path& path() const override { return file_->path(); }

   private:
    const std::unique_ptr<imgpack::RandomAccessFile> file_;
  };
};

// No read ends before open_gate().
class GatedFileSystem : public imgpack::test::MemoryFileSystem {
 public:
  void open_gate() { gate_.count_down(); }
  std::unique_ptr<imgpack::RandomAccessFile> open(const std::filesystem::path& path) override {
    return std::make_unique<GatedFile>(MemoryFileSystem::open(path), gate_);
  }

 private:
  class GatedFile : public imgpack::RandomAccessFile {
   public:
    GatedFile(std::unique_ptr<imgpack::RandomAccessFile> file, const std::latch& gate)
        : file_(std::move(file)), gate_(gate) {}
    size_t read_at(uint64_t offset, std::span<std::byte> out) const override {
      gate_.wait();
      return file_->read_at(offset, out);
    }
    uint64_t size() const override { return file_->size(); }
    const std::filesystem::path& path() const override { return file_->path(); }

   private:
    const std::unique_ptr<imgpack::RandomAccessFile> file_;
    const std::latch& gate_;
  };
  std::latch gate_{1};
};

TEST_F(Failing, AConsumerMayLookElsewhereWhileReadsAreStuck) {
  using std::chrono::milliseconds;
  GatedFileSystem gated;
  for (const auto& [path, bytes] : photos.fs.all_files()) gated.set_bytes(path, bytes);
  PipelineOptions options = small_pipeline();
  options.slots = 1;
  BatchPipeline pipeline(gated, dataset, options);
  EXPECT_TRUE(pipeline.wait_for_next(milliseconds(0)));  // next() throws: nothing was started.
  pipeline.start_epoch(0);
  EXPECT_FALSE(pipeline.wait_for_next(milliseconds(0)));
  EXPECT_FALSE(pipeline.wait_for_next(milliseconds(5)));
  gated.open_gate();
  while (!pipeline.wait_for_next(milliseconds(50))) {
  }
  auto batch = pipeline.next();
  ASSERT_TRUE(batch.has_value());
  EXPECT_TRUE(pipeline.wait_for_next(milliseconds(0)));  // next() throws: the only slot is held.
  batch.reset();
  while (pipeline.next().has_value()) {
  }
  EXPECT_TRUE(pipeline.wait_for_next(milliseconds(0)));  // The epoch is over.
}

TEST_F(Failing, StoppingDoesNotWaitForWhatIsQueued) {
  SlowFileSystem slow;
  for (const auto& [path, bytes] : photos.fs.all_files()) slow.set_bytes(path, bytes);
  PipelineOptions options = small_pipeline();
  options.read_threads = 1;
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 5; ++i) {
    BatchPipeline pipeline(slow, dataset, options);
    pipeline.start_epoch(0);
    if (i % 2 == 1) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  // The epoch has some 60 blocks, 1.2 s of reading each time.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(1500));
}

}  // namespace
}  // namespace imgtrain::data
