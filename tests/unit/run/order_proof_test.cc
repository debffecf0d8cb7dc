#include "engine/train/run/order_proof.h"

#include <gtest/gtest.h>

#include "format/dataset.h"
#include "tests/support/memory_file_system.h"
#include "tests/support/tiny_dataset.h"

namespace imgtrain {
namespace {

using imgpack::test::MemoryFileSystem;

struct Order {
  MemoryFileSystem fs;
  imgpack::Dataset dataset;
  data::SampleOrder order;

  explicit Order(const data::SampleOrderOptions& options) : dataset(make(fs)), order(dataset.split("train"), options) {}
  OrderProof prove(uint64_t epoch, uint64_t batches) const {
    return prove_order(dataset.split("train"), order, epoch, batches);
  }
  static imgpack::Dataset make(MemoryFileSystem& fs) {
    imgpack::test::write_tiny_dataset(fs, "/tiny");
    return imgpack::Dataset::open(fs, "/tiny");
  }
};

data::SampleOrderOptions options(uint32_t batch, bool drop_last, uint64_t seed = 1) {
  data::SampleOrderOptions options;
  options.batch = batch;
  options.drop_last = drop_last;
  options.seed = seed;
  return options;
}

TEST(OrderProof, AWholeEpochHasNothingTwiceAndNothingLeftOut) {
  for (const bool drop_last : {true, false}) {
    const Order order(options(7, drop_last));
    const OrderProof proof = order.prove(0, order.order.batches_per_epoch());
    EXPECT_EQ(proof.samples, order.order.samples_per_epoch());
    EXPECT_EQ(proof.repeated, 0u);
    EXPECT_EQ(proof.skipped, 0u);
  }
}

TEST(OrderProof, DigestNamesEpochSeedAndNumberOfBatches) {
  const Order order(options(8, true)), other_seed(options(8, true, 2));
  EXPECT_EQ(order.prove(0, 3).digest, order.prove(0, 3).digest);
  EXPECT_NE(order.prove(0, 3).digest, order.prove(0, 2).digest);
  EXPECT_NE(order.prove(0, 3).digest, order.prove(1, 3).digest);
  EXPECT_NE(order.prove(0, 3).digest, other_seed.prove(0, 3).digest);
  EXPECT_EQ(order.prove(0, 0).digest, 0u);
}

}  // namespace
}  // namespace imgtrain
