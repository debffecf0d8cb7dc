// The test of the tests: with checksum comparison taken out, flipped bits get through, so the corruption tests are able
// to see it. What is left must still neither crash nor allocate without bound, since all other checks are in place.
#include <gtest/gtest.h>

#include "tests/corruption/exhaustive.h"

namespace imgpack {
namespace {

using test::Outcomes;
using test::Victim;

TEST(WithoutChecksums, FlippedBitsOfAShardGoUnnoticed) {
  const Victim victim = test::three_record_shard();
  const Outcomes outcomes = test::flip_every_bit(victim.bytes, victim.read);
  EXPECT_GT(outcomes.changed, victim.bytes.size());  // Image bytes alone: eight flips for each.
}

TEST(WithoutChecksums, FlippedBitsOfADatasetIndexGoUnnoticed) {
  const Victim victim = test::dataset_index();
  EXPECT_GT(test::flip_every_bit(victim.bytes, victim.read).changed, 0u);
}

TEST(WithoutChecksums, FlippedBitsOfAManifestGoUnnoticed) {
  const Victim victim = test::manifest();
  EXPECT_GT(test::flip_every_bit(victim.bytes, victim.read).changed, 0u);
}

TEST(WithoutChecksums, FlippedBitsOfALabelSetGoUnnoticed) {
  const Victim victim = test::label_set();
  EXPECT_GT(test::flip_every_bit(victim.bytes, victim.read).changed, 0u);
}

TEST(WithoutChecksums, BoundsStillHold) {
  for (const auto make : {&test::three_record_shard, &test::dataset_index, &test::manifest, &test::label_set}) {
    const Victim victim = make();
    const Outcomes flips = test::flip_every_bit(victim.bytes, victim.read);
    EXPECT_EQ(flips.wrong_errors, 0u) << victim.name << ": " << flips.first_bad;
    EXPECT_LE(flips.largest_allocation, 256u * 1024) << victim.name;
    EXPECT_EQ(test::cut_at_every_length(victim.bytes, victim.read).changed, 0u) << victim.name;
  }
}

}  // namespace
}  // namespace imgpack
