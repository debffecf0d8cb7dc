// Watches of several ranks in one process, over a board that can be told to fail or to block.
#include "engine/train/run/rank_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <thread>

namespace imgtrain {
namespace {

using imgpack::ErrorKind;
using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::MatchesRegex;

// What all ranks share.
struct Notes {
  explicit Notes(int world) : texts(static_cast<size_t>(world)) {}
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::string> texts;
};

class Board : public RankBoard {
 public:
  explicit Board(Notes& notes) : notes_(notes) {}
  void set(int rank, const std::string& text) override {
    std::unique_lock lock(notes_.mutex);
    notes_.changed.wait(lock, [&] { return !blocked; });
    if (broken) throw std::runtime_error("connection reset");
    if (!mute) notes_.texts[static_cast<size_t>(rank)] = text;
  }
  std::vector<std::string> get_all() override {
    const std::lock_guard lock(notes_.mutex);
    if (broken) throw std::runtime_error("connection reset");
    return notes_.texts;
  }
  void become(bool Board::*state, bool on = true) {
    const std::lock_guard lock(notes_.mutex);
    this->*state = on;
    notes_.changed.notify_all();
  }
  bool mute = false;     // What it sets reaches nobody.
  bool broken = false;   // It throws.
  bool blocked = false;  // It does not return.

 private:
  Notes& notes_;
};

class RankWatchTest : public testing::Test {
 protected:
  struct Rank {
    std::shared_ptr<Board> board;
    std::unique_ptr<RankWatch> watch;
  };

  Rank rank(int number, int world = 2) {
    RankWatchOptions options;
    options.limits = {0.8, 1.5};
    options.beat_every = milliseconds(20);
    options.patience = milliseconds(2500);
    options.grace = milliseconds(300);
    options.board_name = "rank 0 on a";
    options.serves_board = number == 0;
    options.on_verdict = [this](const Verdict& verdict) { note(said_, verdict); };
    options.give_up = [this](const Verdict& verdict) { note(given_up_, verdict); };
    Rank made;
    made.board = std::make_shared<Board>(notes_);
    made.watch = std::make_unique<RankWatch>(number, world, std::string(1, static_cast<char>('a' + number)), made.board,
                                             options);
    return made;
  }

  // Waits for a condition with a bound, which is far beyond any limit above.
  template <typename Condition>
  bool comes(const Condition& condition) {
    for (int i = 0; i < 1000; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(milliseconds(10));
    }
    return false;
  }
  std::vector<std::string> said() {
    const std::lock_guard lock(mutex_);
    return said_;
  }
  std::vector<std::string> given_up() {
    const std::lock_guard lock(mutex_);
    return given_up_;
  }

  std::string text_of(size_t rank) {
    const std::lock_guard lock(notes_.mutex);
    return notes_.texts[rank];
  }

  Notes notes_{2};

 private:
  void note(std::vector<std::string>& list, const Verdict& verdict) {
    const std::lock_guard lock(mutex_);
    list.push_back(verdict.message);
  }
  std::mutex mutex_;
  std::vector<std::string> said_, given_up_;
};

TEST_F(RankWatchTest, ASilentRankIsSaidOnceAndThenTheProcessGivesUp) {
  Rank zero = rank(0), one = rank(1);
  one.watch->enter(RankStage::kDecoding);
  one.watch->at_step(12);
  ASSERT_TRUE(comes([&] { return text_of(1).find(" 12 ") != std::string::npos; }));
  one.board->become(&Board::mute);
  ASSERT_TRUE(comes([&] { return !given_up().empty(); }));
  EXPECT_THAT(
      said(),
      ElementsAre(MatchesRegex("rank 1 of 2 on b is lost: silent for [0-9]+ s, last seen in decoding at step 12")));
  EXPECT_EQ(zero.watch->verdict()->ranks, std::vector<int>{1});
}

TEST_F(RankWatchTest, ARankThatEndsWellIsNotMissed) {
  Rank zero = rank(0);
  {
    const Rank one = rank(1);
    one.watch->enter(RankStage::kCompute);
    one.watch->finish();
  }
  for (int i = 0; i < 100; ++i) {
    zero.watch->enter(RankStage::kCompute);
    std::this_thread::sleep_for(milliseconds(20));
  }
  EXPECT_THAT(said(), ElementsAre());
}

TEST_F(RankWatchTest, AStageThatNeverEndsIsNamedAlsoByTheRankItself) {
  const Rank one = rank(1), zero = rank(0);
  one.watch->enter(RankStage::kReading);
  ASSERT_TRUE(comes([&] {
    zero.watch->enter(RankStage::kCommunication);
    return zero.watch->verdict().has_value() && one.watch->verdict().has_value();
  }));
  for (const RankWatch* watch : {zero.watch.get(), one.watch.get()})
    EXPECT_THAT(watch->verdict()->message, HasSubstr("rank 1 of 2 on b stands still: in reading at step 0 for "));
}

TEST_F(RankWatchTest, WaitingForADecoderIsToldFromWaitingForADisk) {
  const Rank one = rank(1);
  one.watch->enter(RankStage::kReading, [] { return 1.0; });  // The disk has nothing to do any more.
  EXPECT_TRUE(comes([&] { return one.watch->stage() == RankStage::kDecoding; }));
  double read = 0;
  one.watch->enter(RankStage::kReading, [&read] { return read += 0.01; });
  std::this_thread::sleep_for(milliseconds(200));
  EXPECT_EQ(one.watch->stage(), RankStage::kReading);
  one.watch->enter(RankStage::kCompute);
}

TEST_F(RankWatchTest, AFailureReachesTheOthersWithItsKindBeforeTheRankEnds) {
  Rank zero = rank(0), one = rank(1);
  one.watch->enter(RankStage::kReading);
  one.watch->fail(ErrorKind::kCorruption, "record checksum mismatch", /*follows=*/false);
  const auto blamed = zero.watch->blame();
  ASSERT_TRUE(blamed);
  EXPECT_EQ(blamed->kind, ErrorKind::kCorruption);
  EXPECT_EQ(blamed->message, "rank 1 of 2 on b failed in reading at step 0: record checksum mismatch");
}

TEST_F(RankWatchTest, WhereTheBoardBlocksItsHolderIsLostAndNothingWaitsForIt) {
  const auto begin = std::chrono::steady_clock::now();
  {
    Rank zero = rank(0), one = rank(1);
    ASSERT_TRUE(comes([&] { return !text_of(0).empty(); }));
    one.board->become(&Board::blocked);
    ASSERT_TRUE(comes([&] { return one.watch->verdict().has_value(); }));
    EXPECT_THAT(one.watch->verdict()->message, HasSubstr("rank 0 on a is lost: no answer for"));
    one.watch.reset();
    one.board->become(&Board::blocked, false);
    // The thread that was left behind ends, and lets go of the board.
    ASSERT_TRUE(comes([&] { return one.board.use_count() == 1; }));
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(30));
}

TEST_F(RankWatchTest, ABrokenBoardAfterABrokenExchangeBlamesItsHolder) {
  Rank zero = rank(0), one = rank(1);
  ASSERT_TRUE(comes([&] { return !text_of(0).empty(); }));
  one.board->become(&Board::broken);
  const auto blamed = one.watch->blame();
  ASSERT_TRUE(blamed);
  EXPECT_THAT(blamed->message, HasSubstr("rank 0 on a is lost"));
}

}  // namespace
}  // namespace imgtrain
