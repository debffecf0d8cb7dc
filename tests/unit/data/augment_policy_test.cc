#include "engine/data/augment_policy.h"

#include <gtest/gtest.h>

#include "engine/data/erase_box.h"
#include "engine/data/random_key.h"
#include "tests/support/expect_error.h"

namespace imgtrain::data {
namespace {

TEST(AugmentPolicy, TextsNameTheirSettings) {
  EXPECT_EQ(parse_augment_policy("none").kind, PolicyKind::kNone);
  EXPECT_EQ(parse_augment_policy("trivialaugment").kind, PolicyKind::kTrivialAugmentWide);
  const AugmentPolicy torchvision = parse_augment_policy("randaugment-m15-n3");
  EXPECT_EQ(torchvision.kind, PolicyKind::kRandAugment);
  EXPECT_EQ(torchvision.magnitude, 15);
  EXPECT_EQ(torchvision.operations, 3);
  const AugmentPolicy timm = parse_augment_policy("rand-m6-mstd0.5-inc1");
  EXPECT_EQ(timm.kind, PolicyKind::kTimmRandAugment);
  EXPECT_EQ(timm.magnitude, 6);
  EXPECT_EQ(timm.operations, 2);
  EXPECT_EQ(timm.deviation, 0.5);
  EXPECT_TRUE(timm.increasing);
}

TEST(AugmentPolicy, TextsThatAreNoneSayWhatWasExpected) {
  for (const char* text : {"", "auto", "rand", "rand-m11", "rand-m6-x1", "rand-m", "rand-inc0", "randaugment-m31",
                           "randaugment-n0", "rand-m6-mstdnan", "rand-m6.5", "rand-m6--n2", "trivialaugment-m3"}) {
    EXPECT_ERROR(parse_augment_policy(text), imgpack::ErrorKind::kUsage, "expected none, autoaugment");
  }
}

TEST(AugmentPolicy, EveryStepOfEveryPolicyLeavesTheSizeAloneAndFollowsItsDraws) {
  for (const char* text : {"autoaugment", "randaugment", "trivialaugment", "rand-m9-mstd0.5-inc1", "rand-m9-mstd101"}) {
    const AugmentPolicy policy = parse_augment_policy(text);
    for (uint64_t id = 0; id < 300; ++id) {
      std::vector<uint8_t> first(24 * 17 * 3), second;
      for (size_t i = 0; i < first.size(); ++i) first[i] = static_cast<uint8_t>(i * 7 + id);
      second = first;
      Scratch scratch;
      for (std::vector<uint8_t>* pixels : {&first, &second}) {
        KeyedRandom random(1, Purpose::kPolicy, 0, id);
        for (const PolicyStep& step : choose_steps(policy, 24, 17, [&] { return random.uniform(); }))
          apply_step(step, {pixels->data(), 24, 17}, Resample::kBicubic, policy_fill(policy), scratch);
      }
      ASSERT_EQ(first, second) << text << " " << id;
    }
  }
}

TEST(BlankBoxes, LieInsideTheImageAndComeAsOftenAsAskedFor) {
  RandomErasingOptions erasing;
  erasing.probability = 0.25;
  int erased = 0;
  for (uint64_t id = 0; id < 4000; ++id) {
    const BlankBoxes boxes = blank_boxes(48, erasing, 0.5, {1, 2, id, 0});
    for (const CropBox& box : {boxes.erase, boxes.cutout}) {
      ASSERT_GE(box.x, 0);
      ASSERT_GE(box.y, 0);
      ASSERT_LE(box.x + box.width, 48);
      ASSERT_LE(box.y + box.height, 48);
    }
    ASSERT_LE(boxes.cutout.width, 24);
    ASSERT_GE(boxes.cutout.width, 11);
    erased += boxes.erase.width > 0;
  }
  EXPECT_NEAR(erased, 1000, 120);
  EXPECT_EQ(blank_boxes(48, {}, 0, {1, 2, 3, 0}).cutout, CropBox());
}

}  // namespace
}  // namespace imgtrain::data
