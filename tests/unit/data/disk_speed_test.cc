// How well the pipeline uses a slow disk: an EBS gp3 volume of 125 MiB/s, 3,000 I/Os a second and 1 ms.
#include <gtest/gtest.h>

#include <cstdio>
#include <map>

#include "engine/data/random_key.h"
#include "tests/support/simulated_disk.h"
#include "tests/support/tiny_dataset.h"
#include "tests/unit/data/pipeline_fixture.h"

namespace imgtrain::data {
namespace {

// A photograph that decodes in no time and is as long as a real one: a small picture with long comments.
std::vector<std::byte> padded_photo(uint32_t seed, uint64_t bytes) {
  const std::vector<std::byte> photo = make_photo(16, 16, seed);
  std::vector<std::byte> result(photo.begin(), photo.begin() + 2);
  while (result.size() + photo.size() < bytes) {
    const uint64_t segment = std::min<uint64_t>(65'535, bytes - result.size() - photo.size() + 2);
    result.push_back(std::byte{0xff});
    result.push_back(std::byte{0xfe});
    result.push_back(static_cast<std::byte>(segment >> 8));
    result.push_back(static_cast<std::byte>(segment & 0xff));
    result.resize(result.size() + segment - 2, static_cast<std::byte>(seed));
  }
  result.insert(result.end(), photo.begin() + 2, photo.end());
  return result;
}

class SlowDisk : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    memory_ = std::make_unique<imgpack::test::MemoryFileSystem>();
    imgpack::test::SplitRecords train{"train", {}, 3, true};
    KeyedRandom random(1, Purpose::kUser, 0);
    for (uint32_t i = 0; i < 800; ++i) {
      imgpack::Record record;
      record.meta.name = "n01440764/" + std::to_string(i) + ".JPEG";
      record.meta.id = imgpack::sample_id("train", record.meta.name);
      record.meta.label = 0;
      record.meta.width = record.meta.height = 16;
      record.sections.push_back({imgpack::SectionType::kImage, true, padded_photo(i, 30'000 + random.below(160'000))});
      train.records.push_back(std::move(record));
    }
    imgpack::test::write_dataset(*memory_, "/shards", {train});
  }

  // Seconds that the wanted records alone would take, as a share of what the epoch took; and I/Os a second.
  struct Use {
    double throughput = 0, ios_per_second = 0;
  };
  Use run(const PipelineOptions& options) {
    const imgpack::Dataset dataset = imgpack::Dataset::open(*memory_, "/shards");
    const auto& split = dataset.split("train");
    imgpack::test::DiskSpeed speed;
    speed.readers = options.read_threads;
    imgpack::test::SimulatedDisk disk(*memory_, speed);
    BatchPipeline pipeline(disk, dataset, options);
    pipeline.start_epoch(0);
    uint64_t wanted = 0;
    std::map<uint64_t, uint64_t> bytes_of;
    for (uint64_t r = 0; r < split.records(); ++r) bytes_of[split.columns.id[r]] = split.columns.record_bytes[r];
    while (auto batch = pipeline.next()) {
      for (uint32_t i = 0; i < batch->count; ++i) wanted += bytes_of.at(batch->ids[i]);
    }
    const auto counters = disk.counters();
    return {static_cast<double>(wanted) / speed.bytes_per_second / counters.seconds,
            static_cast<double>(counters.ios) / counters.seconds};
  }

  static PipelineOptions defaults() {
    PipelineOptions options;
    options.size = 16;
    options.threads = 2;
    options.order.batch = 64;
    options.order.drop_last = false;
    return options;
  }

  static void TearDownTestSuite() { memory_.reset(); }
  static std::unique_ptr<imgpack::test::MemoryFileSystem> memory_;
};
std::unique_ptr<imgpack::test::MemoryFileSystem> SlowDisk::memory_;

TEST_F(SlowDisk, TrainingUsesAtLeast97PercentOfItAtAtMost550IosASecond) {
  const Use use = run(defaults());
  EXPECT_GE(use.throughput, 0.97);
  EXPECT_LE(use.ios_per_second, 550);
  RecordProperty("throughput", std::to_string(use.throughput));
  std::printf("gp3: %.1f %% of the throughput at %.0f I/Os a second\n", 100 * use.throughput, use.ios_per_second);
}

TEST_F(SlowDisk, OneOfTwoRanksUsesItAsWell) {
  PipelineOptions options = defaults();
  options.world = 2;
  options.order.partitions = 8;
  const Use use = run(options);
  EXPECT_GE(use.throughput, 0.97);
  EXPECT_LE(use.ios_per_second, 550);
}

TEST_F(SlowDisk, EvaluationUsesItAsWell) {
  PipelineOptions options = defaults();
  options.transform = Transform::kEvaluate;
  options.resize_short = 16;
  const Use use = run(options);
  EXPECT_GE(use.throughput, 0.97);
  EXPECT_LE(use.ios_per_second, 550);
}

}  // namespace
}  // namespace imgtrain::data
