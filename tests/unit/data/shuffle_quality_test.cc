// How good the order is, measured on a layout like ImageNet's (1.28 M records of 110 KB in hashed order, 1,000
// classes) against true permutations of the same records.
#include <gtest/gtest.h>

#include <numeric>
#include <random>

#include "engine/data/sample_order.h"
#include "tests/unit/data/synthetic_split.h"

namespace imgtrain::data {
namespace {

constexpr uint64_t kRecords = 1'281'167;
constexpr int kEpochs = 6;

// The batch of every record, or ~0 for the dropped ones.
using BatchOf = std::vector<uint32_t>;

struct Orders {
  std::vector<BatchOf> epochs;
  double classes_per_batch = 0;  // Mean number of different ones.
};

double classes_per_batch(const BatchOf& batch_of, const imgpack::SplitView& split, uint64_t batches) {
  std::vector<std::vector<bool>> seen(batches, std::vector<bool>(1000));
  for (uint64_t r = 0; r < batch_of.size(); ++r) {
    if (batch_of[r] < batches) seen[batch_of[r]][static_cast<size_t>(split.columns.label[r])] = true;
  }
  double total = 0;
  for (const auto& batch : seen) total += static_cast<double>(std::count(batch.begin(), batch.end(), true));
  return total / static_cast<double>(batches);
}

// How many different pairs have shared a batch after all epochs, per pair of places: of a sample of the batches'
// pairs, the share that no earlier epoch had brought together.
double new_pairs(const std::vector<BatchOf>& epochs, uint64_t batches) {
  uint64_t pairs = 0, fresh = 0;
  for (size_t e = 0; e < epochs.size(); ++e) {
    std::vector<std::vector<uint32_t>> members(batches);
    for (uint32_t r = 0; r < epochs[e].size(); ++r) {
      if (epochs[e][r] < batches && epochs[e][r] % 50 == 7) members[epochs[e][r]].push_back(r);
    }
    for (const auto& batch : members) {
      for (size_t i = 0; i < batch.size(); ++i) {
        for (size_t j = i + 1; j < batch.size(); ++j) {
          bool met = false;
          for (size_t earlier = 0; earlier < e && !met; ++earlier)
            met = epochs[earlier][batch[i]] == epochs[earlier][batch[j]];
          ++pairs;
          fresh += !met;
        }
      }
    }
  }
  return static_cast<double>(fresh) / static_cast<double>(pairs);
}

class ShuffleQuality : public testing::TestWithParam<uint32_t> {};

TEST_P(ShuffleQuality, IsWithinOnePercentOfATruePermutations) {
  const imgpack::SplitView split = make_split({.records = kRecords});
  SampleOrderOptions options;
  options.seed = 11;
  options.batch = GetParam();
  const SampleOrder order(split, options);
  ASSERT_EQ(order.partitions(), 48u);
  const uint64_t batches = order.batches_per_epoch();

  std::vector<BatchOf> ours, random;
  std::mt19937_64 generator(3);
  for (uint64_t e = 0; e < kEpochs; ++e) {
    ours.emplace_back(kRecords, ~0u);
    const EpochOrder epoch = order.epoch(e);
    WindowCache cache;
    for (uint64_t b = 0; b < batches; ++b) {
      const BatchRange range = order.batch_range(b);
      for (const OrderedSample& sample : epoch.samples(range.first, range.last, cache))
        ours.back()[sample.record] = static_cast<uint32_t>(b);
    }
    random.emplace_back(kRecords);
    for (uint64_t r = 0; r < kRecords; ++r) random.back()[r] = static_cast<uint32_t>(r / options.batch);
    std::shuffle(random.back().begin(), random.back().end(), generator);
  }

  const double our_classes = classes_per_batch(ours[0], split, batches);
  const double random_classes = classes_per_batch(random[0], split, batches);
  EXPECT_NEAR(our_classes / random_classes, 1, 0.01);
  const double our_pairs = new_pairs(ours, batches), random_pairs = new_pairs(random, batches);
  EXPECT_NEAR(our_pairs / random_pairs, 1, 0.01);
  RecordProperty("classes_per_batch", std::to_string(our_classes) + " of " + std::to_string(random_classes));
  std::printf(
      "batch %u: classes per batch %.2f, true permutation %.2f; new pairs after %d epochs %.4f %%, true %.4f %%\n",
      options.batch, our_classes, random_classes, kEpochs, 100 * our_pairs, 100 * random_pairs);
}

INSTANTIATE_TEST_SUITE_P(Batches, ShuffleQuality, testing::Values(256u, 1024u));

}  // namespace
}  // namespace imgtrain::data
