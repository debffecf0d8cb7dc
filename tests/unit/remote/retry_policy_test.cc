#include "format/remote/retry_policy.h"

#include <gtest/gtest.h>

#include <set>

namespace imgpack::remote {
namespace {

TEST(RetryPolicy, PausesDoubleUpToTheLongestAndLieInTheirUpperHalf) {
  const RetryPolicy policy{0.1, 0.5, 5, 1e9};
  double full = 0.1;
  for (uint32_t count = 1; count < 60; ++count) {
    const auto pause = pause_before_retry(policy, {count, 0, false, {}}, 7);
    ASSERT_TRUE(pause);
    EXPECT_GE(*pause, full / 2);
    EXPECT_LE(*pause, full);
    full = std::min(5.0, full * 2);
  }
}

TEST(RetryPolicy, ADecisionDependsOnNothingButItsArguments) {
  const RetryPolicy policy;
  EXPECT_EQ(pause_before_retry(policy, {3, 1, false, {}}, 42), pause_before_retry(policy, {3, 1, false, {}}, 42));
}

TEST(RetryPolicy, RequestsThatFailedTogetherComeBackAtDifferentTimes) {
  std::set<double> pauses;
  double sum = 0;
  for (uint64_t key = 0; key < 1000; ++key) {
    const double pause = *pause_before_retry({1, 1, 20, 300}, {1, 0, false, {}}, key);
    pauses.insert(pause);
    sum += pause;
  }
  EXPECT_EQ(pauses.size(), 1000u);
  EXPECT_NEAR(sum / 1000, 0.75, 0.02);
}

TEST(RetryPolicy, AThrottledRequestWaitsLongerAndAsLongAsTheServerAsks) {
  const RetryPolicy policy;
  EXPECT_GE(*pause_before_retry(policy, {1, 0, true, {}}, 1), policy.throttled_step_s / 2);
  EXPECT_GE(*pause_before_retry(policy, {1, 0, true, 40.0}, 1), 40);
}

TEST(RetryPolicy, GivesUpWhenTheTimeIsOverOrWouldBe) {
  const RetryPolicy policy{0.1, 0.5, 20, 10};
  EXPECT_TRUE(pause_before_retry(policy, {2, 5, false, {}}, 1));
  EXPECT_FALSE(pause_before_retry(policy, {2, 10, false, {}}, 1));
  EXPECT_FALSE(pause_before_retry(policy, {1, 0, true, 11.0}, 1));
  EXPECT_FALSE(pause_before_retry({0.1, 0.5, 20, 0}, {1, 0, false, {}}, 1));
}

TEST(RetryAfter, IsSecondsOrADate) {
  EXPECT_EQ(parse_retry_after("17", 0), 17);
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", 784111777 - 30), 30);
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", 784111777 + 30), 0);
  for (const char* text : {"", "soon", "-5", "1.5", "17 s", "99999999999999999999"})
    EXPECT_FALSE(parse_retry_after(text, 0)) << text;
}

TEST(RetryPolicy, KnowsWhichAnswersMayChange) {
  for (long status : {408, 425, 429, 500, 502, 503, 504, 509}) EXPECT_TRUE(is_transient_status(status)) << status;
  for (long status : {200, 206, 301, 400, 401, 403, 404, 412, 416, 501})
    EXPECT_FALSE(is_transient_status(status)) << status;
  EXPECT_TRUE(is_throttling_status(503));
  EXPECT_FALSE(is_throttling_status(500));
}

}  // namespace
}  // namespace imgpack::remote
