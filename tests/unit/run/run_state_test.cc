#include "engine/train/run/run_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include "engine/train/run/json_text.h"
#include "tests/support/expect_error.h"

namespace imgtrain {
namespace {

using imgpack::ErrorKind;

RunState example() {
  RunState state;
  state.created_by = "imgtrain 0.1.0";
  state.dataset_id = "7b284d4eb6332b6b";
  state.classes = {"n01440764", "n01443537"};
  state.config.out = "runs/x";
  state.config.bn_group = 64;
  state.config.batch = 64;
  state.position = {3, 17, 251, false};
  state.epoch_digest = 0xfedcba9876543210;
  state.run_digest = 1;
  state.samples_delivered = 1088;
  state.resumes = 2;
  state.totals = {1234.0000000000002, 300, 700, 1088, 12.25};
  state.history = {{"train", 1, 2.3, 10.5, 50.25, 0.1, 19.5}, {"val", 1, 2.1, 12, 55, 0.1, 1.5}};
  state.scaler = ScalerState{32768, 17};
  state.machine = {"cpu", "a CPU, AVX2", 2, 1};
  return state;
}

TEST(RunState, JsonFormReadsBackTheSame) {
  const RunState state = example();
  const auto text = pretty_json(to_json(state));
  EXPECT_EQ(run_state_from_json(boost::json::parse(text).as_object(), "state"), state);
}

TEST(RunState, ScalerIsThereOnlyWhereThereIsOne) {
  RunState state = example();
  state.scaler.reset();
  const auto json = to_json(state);
  EXPECT_FALSE(json.contains("scaler"));
  EXPECT_EQ(run_state_from_json(json, "state"), state);
}

TEST(RunState, EveryMissingKeyIsNamed) {
  const auto whole = to_json(example());
  for (const auto& member : whole) {
    if (member.key() == "scaler") continue;
    auto damaged = whole;
    damaged.erase(member.key());
    EXPECT_ERROR(run_state_from_json(damaged, "step.json"), ErrorKind::kCorruption,
                 std::string(member.key()) + " is missing");
  }
}

TEST(RunState, EveryMemberOfAnotherKindIsRefused) {
  const auto whole = to_json(example());
  for (const auto& member : whole) {
    auto damaged = whole;
    damaged[member.key()] = nullptr;
    EXPECT_ERROR(run_state_from_json(damaged, "step.json"), ErrorKind::kCorruption, std::string(member.key()));
  }
}

TEST(RunState, NestedMembersAreNamedWithTheirPath) {
  auto damaged = to_json(example());
  damaged["position"].as_object()["epoch"] = -1;
  EXPECT_ERROR(run_state_from_json(damaged, "step.json"), ErrorKind::kCorruption,
               "position.epoch is not a whole number >= 0");
}

}  // namespace
}  // namespace imgtrain
