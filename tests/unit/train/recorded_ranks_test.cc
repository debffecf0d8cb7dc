// Recorded steps of several ranks: the gradient exchange is part of what is recorded, and everyone tries, keeps and
// gives up together.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "tests/unit/train/rank_processes.h"

namespace imgtrain {
namespace {

using testing::HasSubstr;

constexpr int kStepsBeforeRecording = 3;

// The batches of all steps, as an argument.
std::string counts_of(const std::vector<std::pair<int, int>>& times_and_counts) {
  std::ostringstream text;
  for (const auto& [times, count] : times_and_counts)
    for (int i = 0; i < times; ++i) text << (text.tellp() > 0 ? "," : "") << count;
  return text.str();
}

class RecordedRanks : public testing::Test, protected RankProcesses {
 protected:
  RecordedRanks() : RankProcesses({TEST_BIN_DIR "/test_recorded_ranks_program"}) {}

  using Words = std::vector<std::string>;
  static Words with(Words words, const Words& more) {
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  // The same training with recordings and without ends with the same weights, momenta and totals on all ranks. Returns
  // what each rank with recordings left.
  std::vector<TensorFile> expect_same_as_plain(int world, const Words& words, const Words& recorded_only = {},
                                               double tolerance = 1e-9) {
    std::vector<TensorFile> ranks;
    run_well(world, with(words, {"--plain"}), "plain");
    run_well(world, with(words, recorded_only), "recorded");
    if (testing::Test::HasFatalFailure()) return ranks;
    const TensorFile plain = result("plain", 0);
    for (int rank = 0; rank < world; ++rank) {
      ranks.push_back(result("recorded", rank));
      EXPECT_LT(difference(plain, ranks.back()), tolerance) << "rank " << rank;
      EXPECT_EQ(difference(ranks.front(), ranks.back()), 0) << "rank " << rank;
      EXPECT_EQ(ranks.back().metadata.at("bytes_per_step"), plain.metadata.at("bytes_per_step"));
    }
    return ranks;
  }
};

TEST_F(RecordedRanks, TrainAsTheStepsThemselvesDo) {
  for (const int world : {2, 3}) {
    // Three groups of 4, 4 and 3 images.
    const auto ranks = expect_same_as_plain(world, {"--counts", counts_of({{8, 11}})});
    ASSERT_EQ(ranks.size(), static_cast<size_t>(world));
    for (const TensorFile& rank : ranks) {
      EXPECT_EQ(rank.metadata.at("refusal"), "");
      EXPECT_EQ(rank.metadata.at("replayed"), std::to_string(8 - kStepsBeforeRecording));
      EXPECT_GT(std::stoull(rank.metadata.at("bytes_per_step")), 8u * 11'000'000u);
    }
  }
}

TEST_F(RecordedRanks, TrainAsTheStepsThemselvesDoOverNccl) {
  if (!torch::cuda::is_available() || torch::cuda::device_count() < 2) GTEST_SKIP() << "no two CUDA devices here";
  // Convolutions add in another order in every run, and each step multiplies a difference by ten.
  constexpr double kTolerance = 1e-5;
  const auto ranks = expect_same_as_plain(2, {"--counts", counts_of({{8, 11}}), "--cuda"}, {}, kTolerance);
  ASSERT_EQ(ranks.size(), 2u);
  for (const TensorFile& rank : ranks) {
    EXPECT_EQ(rank.metadata.at("refusal"), "");
    EXPECT_EQ(rank.metadata.at("replayed"), std::to_string(8 - kStepsBeforeRecording));
  }
}

TEST_F(RecordedRanks, ExchangeTheStatisticsOfSynchronizedBatchNormToo) {
  const auto ranks = expect_same_as_plain(2, {"--counts", counts_of({{6, 12}}), "--group", "6", "--world-bn"});
  ASSERT_EQ(ranks.size(), 2u);
  for (const TensorFile& rank : ranks)
    EXPECT_EQ(rank.metadata.at("replayed"), std::to_string(6 - kStepsBeforeRecording));
}

TEST_F(RecordedRanks, ARankWithoutSamplesGoesAlong) {
  // Of two images the first rank has none.
  const auto ranks = expect_same_as_plain(3, {"--counts", counts_of({{5, 2}, {5, 11}, {1, 2}}), "--size", "64"});
  ASSERT_EQ(ranks.size(), 3u);
  int with_samples = 0;
  for (const TensorFile& rank : ranks) {
    EXPECT_EQ(rank.metadata.at("refusal"), "");
    const int replayed = std::stoi(rank.metadata.at("replayed"));
    // The whole batches, and where there are samples the small ones too.
    EXPECT_TRUE(replayed == 2 || replayed == 2 + 3) << replayed;
    with_samples += replayed == 2 + 3 ? 1 : 0;
  }
  EXPECT_EQ(with_samples, 2);
}

TEST_F(RecordedRanks, StepsOfARankThatLacksDamagedImagesAreDoneAnewWhileOthersReplayUntilAllTryAgain) {
  constexpr int kSteps = 16, kFirst = 10;  // Of those with an image less.
  const auto ranks = expect_same_as_plain(2, {"--counts", counts_of({{kSteps, 16}}), "--left-out", "1"});
  ASSERT_EQ(ranks.size(), 2u);
  EXPECT_EQ(ranks[0].metadata.at("replayed"), std::to_string(kSteps - kStepsBeforeRecording));
  EXPECT_EQ(ranks[1].metadata.at("replayed"),
            std::to_string(kFirst - kStepsBeforeRecording + (kSteps - kFirst) - kStepsBeforeRecording));
}

TEST_F(RecordedRanks, GiveUpTogetherWhereTheDeviceOfOneRefuses) {
  for (const int refusing : {0, 1}) {
    const auto ranks =
        expect_same_as_plain(2, {"--counts", counts_of({{6, 8}})}, {"--refuse", std::to_string(refusing)});
    ASSERT_EQ(ranks.size(), 2u);
    for (int rank = 0; rank < 2; ++rank) {
      const auto& facts = ranks[static_cast<size_t>(rank)].metadata;
      EXPECT_EQ(facts.at("replayed"), "0");
      EXPECT_THAT(facts.at("refusal"), HasSubstr(rank == refusing ? "not permitted when stream is capturing"
                                                                  : "another rank could not record"));
    }
  }
}

TEST_F(RecordedRanks, GiveUpTogetherWhereOneRecordingDoesSomethingElse) {
  const auto ranks = expect_same_as_plain(2, {"--counts", counts_of({{6, 8}})}, {"--wrong", "1"});
  ASSERT_EQ(ranks.size(), 2u);
  EXPECT_THAT(ranks[0].metadata.at("refusal"), HasSubstr("another rank could not record"));
  EXPECT_THAT(ranks[1].metadata.at("refusal"), HasSubstr("elsewhere than the step itself"));
  EXPECT_EQ(ranks[0].metadata.at("replayed"), "0");
}

TEST_F(RecordedRanks, ADeadRankEndsTheOthersWithAMessage) {
  const auto ended = run(2, {"--counts", counts_of({{20, 8}}), "--die", "1"}, "dead");
  EXPECT_EQ(ended[1].status, -SIGKILL);
  EXPECT_EQ(ended[0].status, 1);
  EXPECT_THAT(ended[0].errors, HasSubstr("rank 0 of 2: exchange"));
}

}  // namespace
}  // namespace imgtrain
