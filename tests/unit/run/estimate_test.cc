#include "engine/train/run/estimate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/train/run/recipe.h"

namespace imgtrain {
namespace {

using ::testing::HasSubstr;

MachineProbe probe_of_imagenet() {
  MachineProbe probe;
  probe.device = "cpu";
  probe.cores = 2;
  probe.read_mib_s = 500;
  probe.decode_per_core = 300;
  probe.train_per_second = 20;
  probe.images = 1'281'167;
  probe.bytes_per_image = 110'000;
  return probe;
}

const InstanceType& type_named(const std::string& name) {
  for (const InstanceType& type : instance_types())
    if (type.name == name) return type;
  throw std::runtime_error(name);
}

TEST(Prices, CheapestSpotRegionAndOnDemandOfTheTableInTheProgram) {
  const InstancePrice price = price_of(embedded_prices(), "g6e.12xlarge");
  ASSERT_TRUE(price.spot && price.on_demand);
  EXPECT_EQ(price.spot_region, "us-east-2");
  EXPECT_LT(*price.spot, *price.on_demand);
  for (const InstanceType& type : instance_types())
    EXPECT_TRUE(price_of(embedded_prices(), type.name).on_demand) << type.name;
}

TEST(Prices, LinesThatAreNoPricesArePassedOver) {
  const InstancePrice price = price_of(
      "# ec2.spot\nec2.spot\tx\tr1\t3\t-\nec2.spot\tx\tr2\t2\t-\nec2.spot\tx\tr3\tcheap\nec2.spot-low\tx\tr4\t1\n",
      "x");
  EXPECT_EQ(price.spot, 2.0);
  EXPECT_EQ(price.spot_region, "r2");
  EXPECT_FALSE(price.on_demand);
}

// 60 epochs of 1,281,167 images at 3,040 images/s are 7.02 h, the figure of the table of published recipes without its
// 3 % overhead.
TEST(Estimate, TheReferenceRecipeOnFourA10G) {
  RunConfig config;
  config.duration = {60, Duration::Unit::kEpochs};
  const TrainingWork work = work_of(config, 715);
  EXPECT_DOUBLE_EQ(work.epochs, 60);
  EXPECT_DOUBLE_EQ(work.share_of_full, 1);
  EstimateOptions options;
  options.overhead = 1;
  const InstancePrice price{5.672, 2.0, "us-east-2"};
  const Estimate estimate = estimate_for(type_named("g5.12xlarge"), price, work, probe_of_imagenet(), options);
  EXPECT_NEAR(estimate.hours, 7.02, 0.01);
  EXPECT_EQ(estimate.limit, "compute");
  EXPECT_NEAR(*estimate.dollars_spot, 14.05, 0.02);
}

TEST(Estimate, FewCoresLimitByDecodingAndTheNeededOnesAreNamed) {
  RunConfig config;
  config.duration = {10, Duration::Unit::kEpochs};
  const Estimate estimate = estimate_for(type_named("g6e.2xlarge"), {}, work_of(config, 5004),
                                         [] {
                                           MachineProbe probe = probe_of_imagenet();
                                           probe.decode_per_core = 100;
                                           return probe;
                                         }(),
                                         {});
  EXPECT_EQ(estimate.limit, "decode");
  EXPECT_DOUBLE_EQ(estimate.decode, 800);
  EXPECT_THAT(estimate.lift, HasSubstr("14 cores"));
  EXPECT_FALSE(estimate.dollars_spot);
}

TEST(Estimate, ASlowVolumeLimitsWhereShardsDoNotFitIntoMemory) {
  RunConfig config;
  config.duration = {2, Duration::Unit::kEpochs};
  EstimateOptions options;
  options.storage_mib_s = 125;
  const InstanceType small{"small", 4, "A10G", 48, 64, 3040, ""}, large{"large", 4, "A10G", 48, 512, 3040, ""};
  const Estimate slow = estimate_for(small, {}, work_of(config, 715), probe_of_imagenet(), options);
  EXPECT_EQ(slow.limit, "read");
  EXPECT_THAT(slow.lift, HasSubstr("MiB/s would keep up"));
  const Estimate cached = estimate_for(large, {}, work_of(config, 715), probe_of_imagenet(), options);
  EXPECT_EQ(cached.limit, "compute");
  // The first epoch is as slow in both.
  EXPECT_LT(cached.hours, slow.hours);
  EXPECT_GT(cached.hours, slow.hours / 2);
}

TEST(Estimate, HereTheCoresOfACpuDecodeAndTrainInTurn) {
  RunConfig config;
  config.duration = {1, Duration::Unit::kEpochs};
  EstimateOptions options;
  options.overhead = 1;
  const MachineProbe probe = probe_of_imagenet();
  const Estimate estimate = estimate_here(work_of(config, 5004), probe, options);
  EXPECT_TRUE(estimate.measured);
  EXPECT_EQ(estimate.limit, "compute");
  EXPECT_NEAR(estimate.hours, 1'281'167 * (1.0 / 20 + 1.0 / 600) / 3600, 0.01);
}

TEST(Estimate, SmallerImagesAndNetworksCostLess) {
  RunConfig config;
  config.train_size = 112;
  config.depth = 18;
  EXPECT_NEAR(work_of(config, 100).share_of_full, 0.25 * 1.81 / 4.09, 1e-9);
}

// Epochs of 224 px that do the same work, as published with the recipes.
TEST(Estimate, GrowingImagesCountByTheirMean) {
  const std::pair<const char*, double> published[] = {
      {"ffcv-16", 9.1}, {"ffcv-40", 22.2}, {"ffcv-88", 48.7}, {"mild-36", 11.9}};
  for (const auto& [name, epochs] : published) {
    const ConfigLayer layers[] = {find_recipe(name).layer};
    const RunConfig config = resolve(layers).values;
    const TrainingWork work = work_of(config, 1'281'167 / static_cast<uint64_t>(config.batch));
    EXPECT_NEAR(work.epochs * work.share_of_full, epochs, 0.1) << name;
    EXPECT_LT(work.share_of_largest, 1) << name;
  }
}

}  // namespace
}  // namespace imgtrain
