// RankWatch: notices within seconds that a rank is lost, failed or stands still, and says which one, where and at what.
//
//   trainer --enter(stage)--> own record --beat thread--> board --> everyone's records   (the board may block)
//                                                                        |
//                        guard thread: judge_ranks ----------------------+--> on_verdict: say it, abort the exchange
//                                                                             give_up: end this process, if it has not
//                                                                             ended by itself a few seconds later
//
// Nothing here waits for an exchange of gradients, for a device or for NCCL's own watchdog; the guard thread waits for
// nothing at all.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/train/run/rank_verdict.h"

namespace imgtrain {

// Where ranks leave their records for one another. Called from one thread; may block and may throw anything.
class RankBoard {
 public:
  virtual ~RankBoard() = default;
  virtual void set(int rank, const std::string& text) = 0;
  virtual std::vector<std::string> get_all() = 0;  // Of every rank, in order; empty text: none yet.
};

struct RankWatchOptions {
  RankLimits limits;
  std::chrono::milliseconds beat_every{500};
  std::chrono::milliseconds patience{4000};        // After a failed exchange, until its cause is known.
  std::chrono::milliseconds grace{5000};           // Between a verdict and give_up.
  std::string board_name;                          // `rank 0 on a (10.0.0.1)`: who is lost if the board is.
  bool serves_board = false;                       // This process holds it: others lose it when this one ends.
  std::function<void(const Verdict&)> on_verdict;  // Once, from the guard thread.
  std::function<void(const Verdict&)> give_up;     // From the guard thread; should not return.
};

class RankWatch {
 public:
  RankWatch(int rank, int world, std::string host, std::shared_ptr<RankBoard> board, RankWatchOptions options);
  ~RankWatch();  // finish(), unless fail() was called. Bounded: a board that blocks is left behind.
  RankWatch(const RankWatch&) = delete;
  RankWatch& operator=(const RankWatch&) = delete;

  // This rank is in another stage from now on. `read_seconds`, while in kReading: seconds during which reads were in
  // progress, so that waiting for a decoder is told from waiting for a disk; called from another thread until the next
  // enter(). Cheap; one thread.
  void enter(RankStage stage, std::function<double()> read_seconds = {});
  void at_step(uint64_t step);
  RankStage stage() const;

  // Any thread.
  std::optional<Verdict> verdict() const;
  // After an exchange failed: who is to blame. Waits a few seconds for it to show; nullopt: nobody knows.
  std::optional<Verdict> blame();
  // Tells the others that this rank ends, and why. `follows`: because of another. Returns when they can have read it,
  // after seconds at most.
  void fail(imgpack::ErrorKind kind, const std::string& message, bool follows);
  void finish();  // It ends well, and its silence is nothing to worry about.

 private:
  struct State;
  static void beat(const std::shared_ptr<State>& state);
  static void guard(const std::shared_ptr<State>& state);
  void stop(std::chrono::milliseconds patience);

  std::shared_ptr<State> state_;  // The threads': one that blocks may outlive this.
};

}  // namespace imgtrain
