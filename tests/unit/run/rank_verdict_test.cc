#include "engine/train/run/rank_verdict.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace imgtrain {
namespace {

using imgpack::ErrorKind;
using testing::ElementsAre;
using testing::HasSubstr;

// Four ranks that are at work: two hosts, step 7.
std::vector<RankSight> four() {
  std::vector<RankSight> ranks(4);
  for (size_t i = 0; i < ranks.size(); ++i) {
    ranks[i].record = {.beat = 10, .progress = 30, .step = 7, .stage = RankStage::kCompute, .host = i < 2 ? "a" : "b"};
    ranks[i].silent_seconds = 0.4;
    ranks[i].in_stage_seconds = 1;
  }
  return ranks;
}

const RankLimits kLimits{15, 300};

TEST(JudgeRanks, NobodyIsNamedWhileAllAreAtWork) {
  EXPECT_FALSE(judge_ranks(four(), kLimits));
}

TEST(JudgeRanks, SilentRanksAreLostWithHostStageAndStep) {
  auto ranks = four();
  ranks[2].silent_seconds = ranks[3].silent_seconds = 16;
  ranks[2].record.stage = RankStage::kDecoding;
  const auto verdict = judge_ranks(ranks, kLimits);
  ASSERT_TRUE(verdict);
  EXPECT_THAT(verdict->ranks, ElementsAre(2, 3));
  EXPECT_EQ(verdict->message, "ranks 2, 3 of 4 on b are lost: silent for 16 s, last seen in decoding at step 7");
}

TEST(JudgeRanks, TheOneThatReadsForTooLongStandsStillNotThoseThatWaitForIt) {
  auto ranks = four();
  for (RankSight& rank : ranks) {
    rank.in_stage_seconds = 400;
    rank.record.stage = RankStage::kCommunication;
  }
  ranks[1].record.stage = RankStage::kReading;
  ranks[1].in_stage_seconds = 301;
  const auto verdict = judge_ranks(ranks, kLimits);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->message, "rank 1 of 4 on a stands still: in reading at step 7 for 301 s (--rank-timeout 300 s)");
}

TEST(JudgeRanks, WaitingForARankThatIsWithinItsLimitIsNoReason) {
  auto ranks = four();
  for (RankSight& rank : ranks) {
    rank.in_stage_seconds = 400;
    rank.record.stage = RankStage::kCommunication;
  }
  ranks[1].record.stage = RankStage::kSaving;
  ranks[1].in_stage_seconds = 299;
  EXPECT_FALSE(judge_ranks(ranks, kLimits));
}

TEST(JudgeRanks, WhereEverybodyWaitsThoseThatCameLeastFarAreNamed) {
  auto ranks = four();
  for (RankSight& rank : ranks) {
    rank.in_stage_seconds = 301;
    rank.record.stage = RankStage::kCommunication;
  }
  ranks[3].record.progress = 29;
  EXPECT_THAT(judge_ranks(ranks, kLimits)->ranks, ElementsAre(3));
}

TEST(JudgeRanks, AFailureOfARanksOwnComesBeforeSilenceAndKeepsItsKind) {
  auto ranks = four();
  ranks[0].silent_seconds = 100;
  ranks[1].record.failure = {ErrorKind::kIo, /*follows=*/true, "rank 3 failed"};
  ranks[3].record.failure = {ErrorKind::kCorruption, /*follows=*/false, "record checksum mismatch"};
  ranks[3].record.stage = RankStage::kReading;
  const auto verdict = judge_ranks(ranks, kLimits);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->kind, ErrorKind::kCorruption);
  EXPECT_EQ(verdict->message, "rank 3 of 4 on b failed in reading at step 7: record checksum mismatch");
}

TEST(JudgeRanks, WhoeverHasEndedMayBeSilent) {
  auto ranks = four();
  ranks[1].silent_seconds = ranks[2].silent_seconds = 1000;
  ranks[1].record.stage = RankStage::kDone;
  ranks[2].record.failure = {ErrorKind::kIo, /*follows=*/true, "rank 3 failed"};
  EXPECT_FALSE(judge_ranks(ranks, kLimits));
}

TEST(BlameRank, AfterABrokenExchangeTheQuietestIsNamedOncePatienceIsOver) {
  auto ranks = four();
  ranks[1].silent_seconds = 2.5;
  ranks[2].silent_seconds = 4;
  EXPECT_FALSE(blame_rank(ranks, /*patience_over=*/false));
  EXPECT_THAT(blame_rank(ranks, /*patience_over=*/true)->ranks, ElementsAre(2));
  EXPECT_FALSE(blame_rank(four(), /*patience_over=*/true));
}

TEST(RankRecord, SurvivesItsTextAndHostileTextsAreNone) {
  RankRecord record{.beat = 3, .progress = 5, .step = 1ull << 40, .stage = RankStage::kSaving, .host = "b (10.0.0.2)"};
  EXPECT_EQ(rank_record_from(to_text(record)), record);
  record.failure = {ErrorKind::kCorruption, true, "two\nlines"};
  EXPECT_EQ(rank_record_from(to_text(record)), record);
  const std::string good = to_text(record);
  for (size_t length = 0; length + 20 < good.size(); ++length) EXPECT_FALSE(rank_record_from(good.substr(0, length)));
  for (const std::string bad : {"", "1 2 3 99 0 0\nh\n", "1 2 3 -1 0 0\nh\n", "1 2 3 1 9 0\nh\n", "1 2 3 1 1 99\nh\n",
                                "x 2 3 1 0 0\nh\n", "1 2 3 1 0 0 h\n"})
    EXPECT_FALSE(rank_record_from(bad)) << bad;
  EXPECT_FALSE(rank_record_from("1 2 3 1 0 0\n" + std::string(1000, 'h') + "\n"));
  EXPECT_FALSE(rank_record_from("1 2 3 1 1 1\nh\n" + std::string(100'000, 'm')));
}

TEST(RankRecord, LongFailuresAreCutToWhatIsReadBack) {
  RankRecord record;
  record.failure = {ErrorKind::kIo, false, std::string(1 << 20, 'm')};
  EXPECT_TRUE(rank_record_from(to_text(record)));
}

}  // namespace
}  // namespace imgtrain
