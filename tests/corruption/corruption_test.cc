// Exhaustive damage to the smallest files of each kind.
#include <gtest/gtest.h>

#include "tests/corruption/exhaustive.h"

namespace imgpack {
namespace {

using test::Outcomes;
using test::Victim;

// Reading a file of a few KB must not ask for more than this at once, whatever its bytes claim.
constexpr uint64_t kMostAllocated = 256 * 1024;

class Corruption : public ::testing::TestWithParam<Victim (*)()> {
 protected:
  static void expect_noticed(const Outcomes& outcomes) {
    EXPECT_EQ(outcomes.changed, 0u) << "unnoticed: " << outcomes.first_bad;
    EXPECT_EQ(outcomes.wrong_errors, 0u) << "wrong error: " << outcomes.first_bad;
    EXPECT_EQ(outcomes.reported + outcomes.unchanged, outcomes.tried);
    EXPECT_LE(outcomes.largest_allocation, kMostAllocated);
  }
};

TEST_P(Corruption, EveryFlippedBitIsReportedOrChangesNothing) {
  const Victim victim = GetParam()();
  const Outcomes outcomes = test::flip_every_bit(victim.bytes, victim.read);
  expect_noticed(outcomes);
  EXPECT_EQ(outcomes.tried, victim.bytes.size() * 8);
  EXPECT_EQ(outcomes.unchanged, 0u) << "no byte of a " << victim.name << " is without a checksum";
}

TEST_P(Corruption, EveryTruncationIsReported) {
  const Victim victim = GetParam()();
  const Outcomes outcomes = test::cut_at_every_length(victim.bytes, victim.read);
  expect_noticed(outcomes);
  EXPECT_EQ(outcomes.reported, victim.bytes.size());
}

TEST_P(Corruption, EveryAppendedByteIsReported) {
  const Victim victim = GetParam()();
  for (const char extra : {'\0', '\n', ' ', 'x', '\xff'})
    EXPECT_ANY_THROW(victim.read(victim.bytes + extra)) << static_cast<int>(extra);
}

INSTANTIATE_TEST_SUITE_P(EveryFile, Corruption,
                         ::testing::Values(&test::three_record_shard, &test::dataset_index, &test::manifest,
                                           &test::label_set),
                         [](const ::testing::TestParamInfo<Victim (*)()>& instance) {
                           std::string name = instance.param().name;
                           for (char& c : name) c = c == ' ' ? '_' : c;
                           return name;
                         });

}  // namespace
}  // namespace imgpack
