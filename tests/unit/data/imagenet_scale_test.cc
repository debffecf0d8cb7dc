// The pipeline on a dataset of ImageNet's size, 1,281,167 records of 110 KB: what it takes in memory, and that starting
// anywhere in an epoch is arithmetic.
#include <gtest/gtest.h>
#include <malloc.h>

#include <cstdio>
#include <fstream>
#include <string>

#include "tests/unit/data/pipeline_fixture.h"
#include "tools/imgbench/synthetic_records.h"
#include "tools/imgbench/synthetic_shards.h"

namespace imgtrain::data {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

uint64_t kib_of(const std::string& what) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(what)) return std::stoull(line.substr(what.size() + 1));
  return 0;
}

void forget_peak() {
  malloc_trim(0);
  std::ofstream("/proc/self/clear_refs") << "5";
}

struct ImageNetScale : testing::Test {
  ImageNetScale() { shards.publish(imgbench::kImageNetRecords); }

  imgpack::test::MemoryFileSystem disk;
  imgbench::SyntheticShards shards{disk, "/imagenet.shards", make_photo(48, 48, 1), 48, 48};
};

TEST_F(ImageNetScale, MemoryStaysWithin512MiBBesideTheSlotsAtTheDefaults) {
  if (kSanitized) GTEST_SKIP() << "sanitizers take memory of their own";
  forget_peak();
  const uint64_t before = kib_of("VmRSS:");
  if (before == 0) GTEST_SKIP() << "/proc/self/status does not tell the memory of this process";
  PipelineOptions options;
  options.threads = 2;
  const imgpack::Dataset dataset = imgpack::Dataset::open(shards, "/imagenet.shards");
  BatchPipeline pipeline(shards, dataset, options);
  const uint64_t opened = kib_of("VmRSS:");
  pipeline.start_epoch(0, 1000);
  // Each of the 48 partitions leaves a block every 38 records, so after 50 batches every window has been full.
  for (int b = 0; b < 50; ++b) ASSERT_EQ(pipeline.next()->count, 256u);
  const uint64_t peak = kib_of("VmHWM:");
  const double slots = 3.0 * 256 * 224 * 224 * 3 / (1 << 20);
  const double mib = static_cast<double>(peak - before) / 1024 - slots;
  std::printf("%.0f MiB beside %.0f MiB of slots, %.0f of them for the index; blocks may take %.0f\n", mib, slots,
              static_cast<double>(opened - before) / 1024,
              static_cast<double>(pipeline.block_memory_bytes()) / (1 << 20));
  RecordProperty("mib_beside_slots", std::to_string(mib));
  EXPECT_LE(mib, 512);
  EXPECT_GT(mib, 200);  // Or the windows were never full.
}

TEST_F(ImageNetScale, AStartAnywhereInTheEpochReadsWhatItsFirstBatchesNeed) {
  PipelineOptions options;
  options.threads = 2;
  options.size = 32;
  const imgpack::Dataset dataset = imgpack::Dataset::open(shards, "/imagenet.shards");
  BatchPipeline pipeline(shards, dataset, options);
  const uint64_t batches = pipeline.batches_per_epoch();
  ASSERT_EQ(batches, imgbench::kImageNetRecords / 256);
  for (const uint64_t first : {uint64_t{0}, batches / 3, batches / 2, batches - 2}) {
    pipeline.start_epoch(1, first);
    const auto batch = pipeline.next();
    ASSERT_TRUE(batch.has_value());
    EXPECT_EQ(batch->index, first);
    EXPECT_EQ(batch->count, 256u);
    // Two blocks of each of 48 partitions, and what is read ahead of them: never a part of what lies before.
    EXPECT_LE(pipeline.stage_seconds().bytes_read, pipeline.block_memory_bytes() + (64u << 20)) << first;
  }
}

}  // namespace
}  // namespace imgtrain::data
