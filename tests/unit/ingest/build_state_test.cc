#include "format/ingest/build_state.h"

#include <gmock/gmock.h>

#include "tests/support/expect_error.h"

namespace imgpack::ingest {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

BuildState sample_state() {
  BuildState state;
  state.plan_id = 0x1234;
  state.created_by = "imgpack 0.1.0";
  state.facts = {{"seed", "0"}, {"images of train", "5000"}};
  FinishedShard shard{"train", 7, {"train-00007.ipk", 300, 4096, 4000, 0xAB, 0xCD}, {}};
  shard.skipped.push_back({"train", "n01/\"odd\".JPEG", "damaged: cut off", "00000000000000ff"});
  state.finished = {shard, {"val", 0, {"val-00000.ipk", 1, 2, 3, 4, 5}, {}}};
  return state;
}

TEST(BuildState, ReadsBackWhatItWrote) {
  const BuildState state = sample_state();
  const BuildState back = parse_build_state(to_json(state), "build.json");
  EXPECT_EQ(to_json(back), to_json(state));
  EXPECT_EQ(back.plan_id, 0x1234u);
  const FinishedShard* shard = back.find("train", 7);
  ASSERT_NE(shard, nullptr);
  EXPECT_EQ(shard->summary.records, 300u);
  EXPECT_EQ(shard->summary.content, 0xABu);
  ASSERT_EQ(shard->skipped.size(), 1u);
  EXPECT_EQ(shard->skipped[0].name, "n01/\"odd\".JPEG");
  EXPECT_EQ(shard->skipped[0].split, "train");
  EXPECT_EQ(back.find("train", 8), nullptr);
  EXPECT_EQ(back.find("val", 7), nullptr);
}

TEST(BuildState, DamageIsNoticed) {
  std::string text = to_json(sample_state());
  text[text.find("300")] = '4';
  EXPECT_ERROR(parse_build_state(text, "build.json"), ErrorKind::kCorruption, "build.json");
  EXPECT_ERROR(parse_build_state("", "build.json"), ErrorKind::kCorruption, "build.json");
  EXPECT_ERROR(parse_build_state("{}", "build.json"), ErrorKind::kCorruption, "build.json");
}

TEST(BuildState, DifferencesNameWhatWasAndWhatIs) {
  EXPECT_THAT(differences({{"a", "1"}, {"b", "2"}, {"c", "3"}}, {{"a", "1"}, {"b", "5"}, {"d", "4"}}),
              ElementsAre("b: 2 there, 5 now", "c: 3 there, none now", "d: none there, 4 now"));
  EXPECT_THAT(differences({{"a", "1"}}, {{"a", "1"}}), IsEmpty());
}

}  // namespace
}  // namespace imgpack::ingest
