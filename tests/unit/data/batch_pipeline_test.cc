#include "engine/data/batch_pipeline.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <set>
#include <thread>

#include "engine/data/random_key.h"
#include "tests/support/expect_error.h"
#include "tests/unit/data/pipeline_fixture.h"

namespace imgtrain::data {
namespace {

using imgpack::ErrorKind;

class BatchPipelineTest : public testing::Test {
 protected:
  static PhotoDataset& photos() {
    static PhotoDataset photos;
    return photos;
  }
  static const imgpack::Dataset& dataset() {
    static const imgpack::Dataset dataset = photos().open();
    return dataset;
  }
  static std::vector<Delivered> epoch_of(const PipelineOptions& options, uint64_t epoch = 0) {
    BatchPipeline pipeline(photos().fs, dataset(), options);
    return run_epoch(pipeline, epoch);
  }
};

TEST_F(BatchPipelineTest, DeliversTheSamplesOfTheOrderInTheirOrder) {
  const PipelineOptions options = small_pipeline();
  const SampleOrder order(dataset().split("train"), options.order);
  const auto& columns = dataset().split("train").columns;
  const auto batches = epoch_of(options, 2);
  ASSERT_EQ(batches.size(), order.batches_per_epoch());
  for (uint64_t b = 0; b < batches.size(); ++b) {
    std::vector<uint64_t> ids;
    std::vector<int64_t> labels;
    for (const SampleRef& sample : order.global_batch(2, b)) {
      ids.push_back(columns.id[sample.record]);
      labels.push_back(columns.label[sample.record]);
    }
    EXPECT_EQ(batches[b].index, b);
    EXPECT_EQ(batches[b].ids, ids);
    EXPECT_EQ(batches[b].labels, labels);
  }
}

TEST_F(BatchPipelineTest, PixelsAreThoseOfDecodingEverySampleAlone) {
  const PipelineOptions options = small_pipeline();
  const auto batches = epoch_of(options, 5);
  const imgpack::SplitView& split = dataset().split("train");
  const auto decoder = imgpack::jpeg::make_reference_decoder();
  std::vector<uint8_t> expected(16 * 16 * 3);
  size_t checked = 0;
  for (uint64_t r = 0; r < split.records(); ++r) {
    const auto shard = photos().fs.open(dataset().shard_path("train", split.shard[r]));
    std::vector<std::byte> bytes(split.columns.record_bytes[r]);
    ASSERT_EQ(shard->read_at(split.offset[r], bytes), bytes.size());
    const auto record = imgpack::parse_record(bytes, "", 0);
    const auto window =
        random_resized_crop(record.meta.width, record.meta.height, options.crop, {options.seed, 5, record.meta.id, 0});
    decoder->decode(record.image(), {}, window, 16, 16, options.filter, expected.data());
    for (const Delivered& batch : batches) {
      const auto at = std::find(batch.ids.begin(), batch.ids.end(), record.meta.id);
      if (at == batch.ids.end()) continue;
      const auto first = batch.images.begin() + (at - batch.ids.begin()) * static_cast<ptrdiff_t>(expected.size());
      ASSERT_TRUE(std::equal(expected.begin(), expected.end(), first));
      ++checked;
    }
  }
  EXPECT_EQ(checked, batches.size() * 32);
}

TEST_F(BatchPipelineTest, NeitherThreadsNorSlotsNorReadersChangeAByte) {
  const auto expected = epoch_of(small_pipeline(), 1);
  for (const uint32_t threads : {1u, 2u, 5u}) {
    PipelineOptions options = small_pipeline();
    options.threads = threads;
    options.slots = 6 - threads;
    options.read_threads = threads;
    options.read_ahead_bytes = threads == 1 ? 1 : 1 << 20;
    EXPECT_TRUE(epoch_of(options, 1) == expected) << threads << " threads";
  }
}

TEST_F(BatchPipelineTest, RanksTogetherDeliverTheGlobalBatches) {
  PipelineOptions options = small_pipeline();
  options.order.drop_last = false;
  options.bn_group = 4;
  const auto expected = epoch_of(options);
  for (const uint32_t world : {1u, 2u, 3u, 4u, 8u}) {
    std::vector<std::vector<Delivered>> ranks;
    std::set<uint64_t> digests;
    for (uint32_t rank = 0; rank < world; ++rank) {
      options.rank = rank;
      options.world = world;
      BatchPipeline pipeline(photos().fs, dataset(), options);
      ranks.push_back(run_epoch(pipeline));
      digests.insert(pipeline.order_digest());
    }
    EXPECT_TRUE(joined(ranks) == expected) << world << " ranks";
    EXPECT_EQ(digests.size(), 1u);
  }
}

TEST_F(BatchPipelineTest, ARankReadsLittleMoreThanItsShare) {
  PipelineOptions options = small_pipeline();
  options.order.partitions = 8;
  BatchPipeline alone(photos().fs, dataset(), options);
  run_epoch(alone);
  const uint64_t whole = alone.stage_seconds().bytes_read;
  options.world = 4;
  BatchPipeline one(photos().fs, dataset(), options);
  run_epoch(one);
  EXPECT_LT(one.stage_seconds().bytes_read, whole * 30 / 100);
}

TEST_F(BatchPipelineTest, ResumingGivesTheSuffixAndTheSameDigest) {
  BatchPipeline straight(photos().fs, dataset(), small_pipeline());
  const auto whole = run_epoch(straight, 7);
  for (uint64_t first = 0; first <= whole.size(); ++first) {
    BatchPipeline pipeline(photos().fs, dataset(), small_pipeline());
    pipeline.start_epoch(7);
    for (uint64_t b = 0; b < first; ++b) ASSERT_TRUE(pipeline.next().has_value());
    const uint64_t digest = pipeline.order_digest();
    BatchPipeline resumed(photos().fs, dataset(), small_pipeline());
    resumed.start_epoch(7, first, {.size = 0, .digest = digest});
    EXPECT_TRUE(drain(resumed) == std::vector<Delivered>(whole.begin() + static_cast<ptrdiff_t>(first), whole.end()));
    EXPECT_EQ(resumed.order_digest(), straight.order_digest());
  }
}

TEST_F(BatchPipelineTest, DigestTellsEpochsApart) {
  BatchPipeline pipeline(photos().fs, dataset(), small_pipeline());
  run_epoch(pipeline, 0);
  const uint64_t zero = pipeline.order_digest();
  run_epoch(pipeline, 1);
  EXPECT_NE(pipeline.order_digest(), zero);
  run_epoch(pipeline, 0);
  EXPECT_EQ(pipeline.order_digest(), zero);
}

TEST_F(BatchPipelineTest, EvaluationDeliversEverySampleOnceInRecordOrderOnAnyNumberOfRanks) {
  PipelineOptions options = small_pipeline();
  options.split = "val";
  options.transform = Transform::kEvaluate;
  const auto& columns = dataset().split("val").columns;
  std::vector<Delivered> expected;
  for (const uint32_t world : {1u, 2u, 3u, 4u, 8u, 40u}) {
    std::vector<std::vector<Delivered>> ranks;
    for (uint32_t rank = 0; rank < world; ++rank) {
      options.rank = rank;
      options.world = world;
      ranks.push_back(epoch_of(options));
      ASSERT_EQ(ranks.back().size(), 2u);  // Every rank sees every batch, were it with no samples.
      EXPECT_EQ(ranks.back()[1].global_count, 50u - 32u);
    }
    const auto all = joined(ranks);
    std::vector<uint64_t> ids = all[0].ids;
    ids.insert(ids.end(), all[1].ids.begin(), all[1].ids.end());
    EXPECT_EQ(ids, columns.id);
    if (world == 1) expected = all;
    EXPECT_TRUE(all == expected) << world << " ranks";
  }
}

TEST_F(BatchPipelineTest, EvaluationReadsEveryByteOnce) {
  PipelineOptions options = small_pipeline();
  options.split = "val";
  options.transform = Transform::kEvaluate;
  BatchPipeline pipeline(photos().fs, dataset(), options);
  run_epoch(pipeline);
  uint64_t bytes = 0;
  for (const uint32_t size : dataset().split("val").columns.record_bytes) bytes += size;
  EXPECT_EQ(pipeline.stage_seconds().bytes_read, bytes);
}

TEST_F(BatchPipelineTest, RepeatsOfASampleAreCroppedDifferently) {
  PipelineOptions options = small_pipeline();
  options.order.repeats = 2;
  const auto batches = epoch_of(options);
  size_t different = 0;
  for (const Delivered& batch : batches) {
    const size_t half = batch.ids.size() / 2;  // The repeats of all images come after their first occurrences.
    for (size_t i = 0; i < half; ++i) {
      ASSERT_EQ(batch.ids[i], batch.ids[half + i]);
      const auto first = batch.images.begin() + static_cast<ptrdiff_t>(i * 768);
      different += !std::equal(first, first + 768, first + static_cast<ptrdiff_t>(half * 768));
    }
  }
  EXPECT_GT(different, batches.size() * 15);
}

TEST_F(BatchPipelineTest, AnEpochInProgressCanBeLeftForAnother) {
  BatchPipeline pipeline(photos().fs, dataset(), small_pipeline());
  const auto expected = run_epoch(pipeline, 1);
  pipeline.start_epoch(0);
  ASSERT_TRUE(pipeline.next().has_value());
  EXPECT_TRUE(run_epoch(pipeline, 1) == expected);
}

TEST_F(BatchPipelineTest, AnEpochMayUseASmallerSize) {
  PipelineOptions small = small_pipeline();
  small.size = 8;
  const auto expected = epoch_of(small, 2);
  BatchPipeline pipeline(photos().fs, dataset(), small_pipeline());
  pipeline.start_epoch(2, 0, {.size = 8, .digest = 0});
  EXPECT_TRUE(drain(pipeline) == expected);
  EXPECT_ERROR(pipeline.start_epoch(2, 0, {.size = 17, .digest = 0}), ErrorKind::kUsage, "image size");
}

TEST_F(BatchPipelineTest, ABatchOutlivesItsPipeline) {
  std::optional<Batch> batch;
  {
    BatchPipeline pipeline(photos().fs, dataset(), small_pipeline());
    pipeline.start_epoch(0);
    batch = pipeline.next();
  }
  const Delivered after = copy_of(*batch);
  EXPECT_TRUE(after == epoch_of(small_pipeline())[0]);
}

TEST_F(BatchPipelineTest, HoldingAllSlotsIsAnErrorAndNotADeadlock) {
  PipelineOptions options = small_pipeline();
  options.slots = 2;
  BatchPipeline pipeline(photos().fs, dataset(), options);
  pipeline.start_epoch(0);
  std::optional<Batch> one = pipeline.next(), two = pipeline.next();
  EXPECT_ERROR(pipeline.next(), ErrorKind::kInternal, "all 2 batch slots are held");
  one->release();
  EXPECT_TRUE(pipeline.next().has_value());
}

TEST_F(BatchPipelineTest, TwoPipelinesRunAtOnce) {
  PipelineOptions evaluate = small_pipeline();
  evaluate.split = "val";
  evaluate.transform = Transform::kEvaluate;
  evaluate.threads = 1;
  const auto expected_train = epoch_of(small_pipeline()), expected_val = epoch_of(evaluate);
  BatchPipeline train(photos().fs, dataset(), small_pipeline()), val(photos().fs, dataset(), evaluate);
  train.start_epoch(0);
  val.start_epoch(0);
  std::vector<Delivered> got_train, got_val;
  for (bool more = true; more;) {
    more = false;
    if (auto batch = train.next()) got_train.push_back(copy_of(*batch)), more = true;
    if (auto batch = val.next()) got_val.push_back(copy_of(*batch)), more = true;
  }
  EXPECT_TRUE(got_train == expected_train);
  EXPECT_TRUE(got_val == expected_val);
}

class CountingSlots : public SlotAllocator {
 public:
  void* allocate(size_t bytes) override {
    ++allocations;
    live += bytes;
    return heap_slots().allocate(bytes);
  }
  void release(void* memory, size_t bytes) noexcept override {
    live -= bytes;
    heap_slots().release(memory, bytes);
  }
  size_t allocations = 0, live = 0;
};

TEST_F(BatchPipelineTest, SlotsAreAllocatedOnceAndReleased) {
  CountingSlots slots;
  {
    PipelineOptions options = small_pipeline();
    options.slots = 4;
    BatchPipeline pipeline(photos().fs, dataset(), options, slots);
    for (uint64_t epoch = 0; epoch < 3; ++epoch) run_epoch(pipeline, epoch);
    EXPECT_EQ(slots.allocations, 4u);
  }
  EXPECT_EQ(slots.live, 0u);
}

TEST_F(BatchPipelineTest, StopsReadingWhenNobodyTakesBatches) {
  PipelineOptions options = small_pipeline();
  options.order.batch = 4;
  options.order.partitions = 2;
  options.slots = 2;
  options.read_ahead_bytes = 1;
  BatchPipeline pipeline(photos().fs, dataset(), options);
  pipeline.start_epoch(0);
  // Wait until nothing moves any more.
  uint64_t before = ~uint64_t{0}, now = 0;
  for (int i = 0; i < 100 && now != before; ++i) {
    before = now;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    now = pipeline.stage_seconds().bytes_read;
  }
  uint64_t all = 0;
  for (const uint32_t size : dataset().split("train").columns.record_bytes) all += size;
  // Blocks that were used up by the batches in the slots count too.
  EXPECT_LE(now, all / 2);
  EXPECT_EQ(drain(pipeline).size(), pipeline.batches_per_epoch());
}

TEST_F(BatchPipelineTest, NextBeforeStartIsAnError) {
  BatchPipeline pipeline(photos().fs, dataset(), small_pipeline());
  EXPECT_ERROR(pipeline.next(), ErrorKind::kInternal, "start_epoch");
}

TEST_F(BatchPipelineTest, AfterTheEpochThereIsNothingMore) {
  BatchPipeline pipeline(photos().fs, dataset(), small_pipeline());
  run_epoch(pipeline);
  EXPECT_FALSE(pipeline.next().has_value());
  pipeline.start_epoch(0, pipeline.batches_per_epoch());
  EXPECT_FALSE(pipeline.next().has_value());
  EXPECT_ERROR(pipeline.start_epoch(0, pipeline.batches_per_epoch() + 1), ErrorKind::kUsage, "first batch");
}

TEST_F(BatchPipelineTest, OptionsOutOfRangeAreRefused) {
  const auto refuses = [&](const char* part, auto change) {
    PipelineOptions options = small_pipeline();
    change(options);
    EXPECT_ERROR(BatchPipeline(photos().fs, dataset(), options), ErrorKind::kUsage, part);
  };
  refuses("image size", [](auto& o) { o.size = 0; });
  refuses("rank", [](auto& o) { o.rank = 1; });
  refuses("slots", [](auto& o) { o.slots = 0; });
  refuses("crop scale", [](auto& o) { o.crop.min_scale = 0; });
  refuses("resize", [](auto& o) { o.transform = Transform::kEvaluate, o.resize_short = 15; });
  PipelineOptions options = small_pipeline();
  options.split = "holdout";
  EXPECT_ERROR(BatchPipeline(photos().fs, dataset(), options), ErrorKind::kInvalidInput, "holdout");
}

TEST(BatchPipelineSmallSets, AnyNumberOfRecordsWorks) {
  for (const uint32_t records : {1u, 2u, 7u}) {
    PhotoDataset photos({.train = records, .val = 1, .shards = 1});
    const imgpack::Dataset dataset = photos.open();
    PipelineOptions options = small_pipeline();
    options.order.repeats = records == 2 ? 3 : 1;
    for (const uint32_t world : {1u, 3u}) {
      size_t delivered = 0;
      for (uint32_t rank = 0; rank < world; ++rank) {
        options.rank = rank;
        options.world = world;
        BatchPipeline pipeline(photos.fs, dataset, options);
        const auto batches = run_epoch(pipeline);
        ASSERT_EQ(batches.size(), 1u);
        EXPECT_EQ(batches[0].global_count, records);
        delivered += batches[0].ids.size();
      }
      EXPECT_EQ(delivered, records);
    }
  }
}

TEST(BatchPipelineStress, StartedAndStoppedAThousandTimesItStaysWhole) {
  PhotoDataset photos({.train = 120, .val = 10, .shards = 2});
  const imgpack::Dataset dataset = photos.open();
  PipelineOptions options = small_pipeline();
  options.order.batch = 16;
  BatchPipeline reference(photos.fs, dataset, options);
  const auto expected = run_epoch(reference, 3);
  KeyedRandom random(1, Purpose::kUser, 0);
  std::unique_ptr<BatchPipeline> pipeline;
  for (int i = 0; i < 1000; ++i) {
    if (pipeline == nullptr || random.below(3) == 0) {
      options.threads = 1 + random.below(4);
      options.slots = 1 + random.below(3);
      pipeline.reset();
      pipeline = std::make_unique<BatchPipeline>(photos.fs, dataset, options);
    }
    pipeline->start_epoch(3, random.below(8));
    for (uint32_t k = random.below(4); k > 0; --k) pipeline->next();
  }
  EXPECT_TRUE(run_epoch(*pipeline, 3) == expected);
}

}  // namespace
}  // namespace imgtrain::data
