#include "engine/serve/batcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "tests/unit/serve/fake_service.h"

namespace imgtrain::serve {
namespace {

using testing::ElementsAre;

Batcher::Images images_of(FakeService& service, const std::vector<std::string>& texts) {
  Batcher::Images images;
  for (const std::string& text : texts) images.push_back(service.prepare(text));
  return images;
}

std::future<PredictionResult> ask(Batcher& batcher, FakeService& service, const std::vector<std::string>& texts,
                                  size_t top = 1) {
  auto promise = std::make_shared<std::promise<PredictionResult>>();
  batcher.predict(images_of(service, texts), top,
                  [promise](PredictionResult result) { promise->set_value(std::move(result)); });
  return promise->get_future();
}

BatchOptions options(size_t max_batch, std::chrono::milliseconds delay) {
  return {max_batch, delay};
}

TEST(Batcher, ImagesThatWaitGoThroughTheModelTogether) {
  FakeService service;
  service.shut();
  Batcher batcher(service, options(4, std::chrono::milliseconds(0)));
  auto first = ask(batcher, service, {"a"});
  service.wait_until_waiting();
  std::vector<std::future<PredictionResult>> others;
  for (int i = 0; i < 6; ++i) others.push_back(ask(batcher, service, {std::string(i + 1, 'x')}));
  service.open();
  EXPECT_EQ(first.get().largest_batch, 1u);
  for (int i = 0; i < 6; ++i) {
    const PredictionResult result = others[i].get();
    ASSERT_EQ(result.guesses.size(), 1u);
    EXPECT_EQ(result.guesses[0][0].index, i + 1) << "answers belong to their own images";
  }
  EXPECT_THAT(service.batches(), ElementsAre(1, 4, 2));
}

TEST(Batcher, AFullBatchDoesNotWaitForTheDelay) {
  FakeService service;
  Batcher batcher(service, options(2, std::chrono::hours(1)));
  EXPECT_EQ(ask(batcher, service, {"a", "bb"}).get().guesses.size(), 2u);
}

TEST(Batcher, OneImageAloneIsAnsweredAfterTheDelay) {
  FakeService service;
  Batcher batcher(service, options(16, std::chrono::milliseconds(5)));
  const PredictionResult result = ask(batcher, service, {"a"}).get();
  EXPECT_EQ(result.largest_batch, 1u);
  EXPECT_GE(result.wait_seconds, 0.004);
}

TEST(Batcher, ARequestLargerThanABatchIsAnsweredWholeAndInOrder) {
  FakeService service;
  Batcher batcher(service, options(2, std::chrono::milliseconds(0)));
  const PredictionResult result = ask(batcher, service, {"a", "bb", "ccc", "dddd", "eeeee"}).get();
  ASSERT_EQ(result.guesses.size(), 5u);
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(result.guesses[i][0].index, static_cast<int64_t>(i + 1));
}

TEST(Batcher, EachRequestGetsAsManyGuessesAsItAskedFor) {
  FakeService service;
  service.shut();
  Batcher batcher(service, options(8, std::chrono::milliseconds(0)));
  auto first = ask(batcher, service, {"a"});
  service.wait_until_waiting();
  auto two = ask(batcher, service, {"a"}, 2), five = ask(batcher, service, {"a"}, 5);
  service.open();
  EXPECT_EQ(two.get().guesses[0].size(), 2u);
  EXPECT_EQ(five.get().guesses[0].size(), 5u);
}

TEST(Batcher, AFailureOfTheModelReachesThoseWhoAskedAndNobodyElse) {
  FakeService service;
  Batcher batcher(service, options(1, std::chrono::milliseconds(0)));
  EXPECT_TRUE(ask(batcher, service, {"broken"}).get().failed);
  EXPECT_FALSE(ask(batcher, service, {"fine"}).get().failed);
}

TEST(Batcher, AnExplanationWaitsForNoBatch) {
  FakeService service;
  Batcher batcher(service, options(16, std::chrono::hours(1)));
  auto guesses = ask(batcher, service, {"a"});
  std::promise<ExplainResult> promise;
  batcher.explain(service.prepare("abc"), 7, [&](ExplainResult result) { promise.set_value(std::move(result)); });
  EXPECT_EQ(promise.get_future().get().picture.index, 7);
  EXPECT_EQ(guesses.get().guesses.size(), 1u) << "and neither does what was before it";
}

TEST(Batcher, StoppingAnswersWhatIsQueued) {
  FakeService service;
  std::future<PredictionResult> waiting;
  {
    Batcher batcher(service, options(16, std::chrono::hours(1)));
    waiting = ask(batcher, service, {"a"});
  }
  EXPECT_EQ(waiting.get().guesses.size(), 1u);
}

}  // namespace
}  // namespace imgtrain::serve
