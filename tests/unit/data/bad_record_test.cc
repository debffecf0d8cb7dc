// PipelineOptions::max_bad_records: damaged records are left out of their batches, named and counted; never replaced.
#include <gmock/gmock.h>

#include <map>
#include <set>

#include "tests/support/expect_error.h"
#include "tests/unit/data/pipeline_fixture.h"

namespace imgtrain::data {
namespace {

using imgpack::ErrorKind;
using testing::HasSubstr;

struct BadRecords : testing::Test {
  BadRecords() : dataset(photos.open()), split(dataset.split("train")), order(split, small_pipeline().order) {}

  std::filesystem::path shard_of(uint64_t record) { return dataset.shard_path("train", split.shard[record]); }

  void flip_bit(uint64_t record) {
    std::string bytes = photos.fs.bytes(shard_of(record));
    bytes.at(split.offset[record] + split.columns.record_bytes[record] / 2) ^= 4;
    photos.fs.set_bytes(shard_of(record), bytes);
  }

  uint64_t record_at(uint64_t batch, size_t place) { return order.global_batch(0, batch)[place].record; }

  static PipelineOptions lenient(uint64_t most) {
    PipelineOptions options = small_pipeline();
    options.max_bad_records = most;
    return options;
  }

  PhotoDataset photos;
  const imgpack::Dataset dataset;
  const imgpack::SplitView& split;
  const SampleOrder order;
};

TEST_F(BadRecords, ABatchClosesUpWithoutThem) {
  BatchPipeline whole(photos.fs, dataset, small_pipeline());
  const auto expected = run_epoch(whole);
  const std::vector<std::pair<uint64_t, size_t>> bad = {{1, 0}, {1, 17}, {3, 31}};
  for (const auto& [batch, place] : bad) flip_bit(record_at(batch, place));
  for (const uint32_t threads : {1u, 4u}) {
    PipelineOptions options = lenient(3);
    options.threads = threads;
    BatchPipeline pipeline(photos.fs, dataset, options);
    pipeline.start_epoch(0);
    std::vector<std::string> left_out;
    for (const Delivered& full : expected) {
      auto batch = pipeline.next();
      ASSERT_TRUE(batch.has_value());
      left_out.insert(left_out.end(), batch->left_out.begin(), batch->left_out.end());
      Delivered closed = full;
      size_t gone = 0;
      for (const auto& [b, place] : bad) {
        if (b != full.index) continue;
        const auto at = static_cast<ptrdiff_t>(place - gone++);
        closed.ids.erase(closed.ids.begin() + at);
        closed.labels.erase(closed.labels.begin() + at);
        closed.images.erase(closed.images.begin() + at * 768, closed.images.begin() + (at + 1) * 768);
      }
      EXPECT_TRUE(copy_of(*batch) == closed) << "batch " << full.index;
      EXPECT_EQ(batch->count, 32 - gone);
      EXPECT_EQ(batch->global_count, 32u);
    }
    EXPECT_FALSE(pipeline.next().has_value());
    ASSERT_EQ(left_out.size(), 3u);
    for (size_t i = 0; i < bad.size(); ++i) {
      EXPECT_THAT(left_out[i], HasSubstr("record " + std::to_string(record_at(bad[i].first, bad[i].second)) + " of"));
      EXPECT_THAT(left_out[i], HasSubstr(".ipk@"));
    }
    EXPECT_EQ(pipeline.stage_seconds().left_out, 3u);
    // The order is that of the plan, whether or not a record of it could be read.
    EXPECT_EQ(pipeline.order_digest(), whole.order_digest());
  }
}

TEST_F(BadRecords, TheBoxesToBlankStayWithTheirImages) {
  PipelineOptions options = lenient(1);
  options.cutout = 0.5;
  const auto boxes_of = [](const Batch& batch) {
    std::map<uint64_t, std::pair<int, int>> corners;
    for (uint32_t i = 0; i < batch.count; ++i)
      corners[batch.ids[i]] = {batch.blanks[i].cutout.x, batch.blanks[i].cutout.y};
    return corners;
  };
  BatchPipeline whole(photos.fs, dataset, options);
  whole.start_epoch(0);
  auto expected = boxes_of(*whole.next());
  const uint64_t bad = record_at(0, 3);
  expected.erase(split.columns.id[bad]);
  flip_bit(bad);
  BatchPipeline pipeline(photos.fs, dataset, options);
  pipeline.start_epoch(0);
  EXPECT_EQ(boxes_of(*pipeline.next()), expected);
}

TEST_F(BadRecords, OneMoreThanAllowedEndsTheRunWithItsName) {
  for (const size_t place : {3u, 9u, 20u}) flip_bit(record_at(2, place));
  BatchPipeline pipeline(photos.fs, dataset, lenient(2));
  pipeline.start_epoch(0);
  for (int b = 0; b < 2; ++b) ASSERT_TRUE(pipeline.next().has_value());
  EXPECT_ERROR(pipeline.next(), ErrorKind::kCorruption, "record " + std::to_string(record_at(2, 20)) + " of");
}

TEST_F(BadRecords, EveryEpochCountsAnew) {
  flip_bit(record_at(2, 3));
  BatchPipeline pipeline(photos.fs, dataset, lenient(1));
  for (uint64_t epoch = 0; epoch < 3; ++epoch) {
    size_t samples = 0;
    for (const Delivered& batch : run_epoch(pipeline, epoch)) samples += batch.ids.size();
    const uint64_t lost = pipeline.stage_seconds().left_out;
    EXPECT_LE(lost, 1u);  // None where the record is in the batch that is dropped at the end.
    EXPECT_EQ(samples + lost, pipeline.samples_per_epoch());
  }
}

TEST_F(BadRecords, ABatchMayLoseAllItsRecords) {
  for (size_t i = 0; i < 32; ++i) flip_bit(record_at(1, i));
  BatchPipeline pipeline(photos.fs, dataset, lenient(32));
  pipeline.start_epoch(0);
  ASSERT_TRUE(pipeline.next().has_value());
  const auto empty = pipeline.next();
  ASSERT_TRUE(empty.has_value());
  EXPECT_EQ(empty->count, 0u);
  EXPECT_EQ(empty->left_out.size(), 32u);
}

TEST_F(BadRecords, ADiskThatFailsIsNoBadRecord) {
  photos.fs.remove(dataset.shard_path("train", 1));
  BatchPipeline pipeline(photos.fs, dataset, lenient(1000));
  pipeline.start_epoch(0);
  EXPECT_ERROR(drain(pipeline), ErrorKind::kIo, "train-00001.ipk");
}

TEST_F(BadRecords, AShardThatWasCutOffLosesWhatIsBeyondTheCut) {
  const auto path = dataset.shard_path("train", 2);
  photos.fs.set_bytes(path, photos.fs.bytes(path).substr(0, 5000));
  PipelineOptions options = lenient(1000);
  options.order.drop_last = false;
  BatchPipeline pipeline(photos.fs, dataset, options);
  std::set<uint64_t> ids;
  for (const Delivered& batch : run_epoch(pipeline)) ids.insert(batch.ids.begin(), batch.ids.end());
  EXPECT_EQ(ids.size() + pipeline.stage_seconds().left_out, 300u);
  EXPECT_GT(pipeline.stage_seconds().left_out, 50u);
}

}  // namespace
}  // namespace imgtrain::data
