#include "engine/train/run/rank_watch.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

namespace imgtrain {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kGuardEvery{200};
// A guard that was away for longer was itself stopped (SIGSTOP, a suspended machine): others were not silent then.
constexpr std::chrono::seconds kOwnPause{2};
// For the last word of a rank to be written, and to be read where this process holds the board.
constexpr std::chrono::milliseconds kLastWord{1500}, kLastWordOfServer{4000};

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

struct RankWatch::State {
  struct Seen {
    RankRecord record;
    Clock::time_point heard, moved;
  };

  const int rank;
  const std::shared_ptr<RankBoard> board;
  const RankWatchOptions options;

  mutable std::mutex mutex;
  std::condition_variable changed;
  RankRecord own;
  std::function<double()> read_seconds;
  double read_before = 0;
  std::vector<Seen> seen;
  Clock::time_point last_round;  // When the board was last read.
  uint64_t rounds = 0;
  bool board_failed = false;  // In the last round.
  std::optional<Verdict> verdict;
  bool stopping = false;
  int running = 2;  // Threads.

  State(int r, std::shared_ptr<RankBoard> b, RankWatchOptions o)
      : rank(r), board(std::move(b)), options(std::move(o)) {}

  // Waiting for input is reading while the disk is busy, and decoding otherwise.
  void refine_stage() {
    if (!read_seconds) return;
    const double now = read_seconds();
    const RankStage stage = now > read_before ? RankStage::kReading : RankStage::kDecoding;
    read_before = now;
    own.stage = stage;
  }

  void absorb(const std::vector<std::string>& texts, Clock::time_point now) {
    for (size_t i = 0; i < seen.size() && i < texts.size(); ++i) {
      auto record = rank_record_from(texts[i]);
      if (!record) continue;
      if (record->beat != seen[i].record.beat) seen[i].heard = now;
      if (record->progress != seen[i].record.progress) seen[i].moved = now;
      seen[i].record = std::move(*record);
    }
    last_round = now;
    ++rounds;
  }

  std::vector<RankSight> sights(Clock::time_point now) const {
    std::vector<RankSight> list;
    for (size_t i = 0; i < seen.size(); ++i) {
      // Of itself a rank knows more than the board.
      const bool self = static_cast<int>(i) == rank;
      list.push_back({self ? own : seen[i].record, self ? 0 : seconds_between(seen[i].heard, now),
                      seconds_between(seen[i].moved, now)});
    }
    return list;
  }

  bool board_is_silent(Clock::time_point now, double limit) const {
    return !options.serves_board && seconds_between(last_round, now) > limit;
  }

  Verdict board_lost(Clock::time_point now) const {
    const RankRecord& holder = seen.front().record;
    return {imgpack::ErrorKind::kIo,
            {0},
            options.board_name + " is lost: no answer for " +
                std::to_string(static_cast<int>(seconds_between(last_round, now))) + " s; rank 0" +
                (holder.host.empty() ? "" : " on " + holder.host) + " was last seen in " + name_of(holder.stage) +
                " at step " + std::to_string(holder.step)};
  }

  std::optional<Verdict> judge(Clock::time_point now) const {
    // Without the board nothing can be said of the others.
    if (board_is_silent(now, options.limits.silence_seconds)) return board_lost(now);
    if (!options.serves_board && seconds_between(last_round, now) > options.limits.silence_seconds / 3) {
      auto list = sights(now);
      for (RankSight& sight : list) sight.silent_seconds = 0;
      return judge_ranks(list, options.limits);
    }
    return judge_ranks(sights(now), options.limits);
  }
};

RankWatch::RankWatch(int rank, int world, std::string host, std::shared_ptr<RankBoard> board, RankWatchOptions options)
    : state_(std::make_shared<State>(rank, std::move(board), std::move(options))) {
  const Clock::time_point now = Clock::now();
  state_->own.host = std::move(host);
  state_->seen.resize(static_cast<size_t>(world), {RankRecord(), now, now});
  state_->last_round = now;
  std::thread([state = state_] { beat(state); }).detach();
  std::thread([state = state_] { guard(state); }).detach();
}

RankWatch::~RankWatch() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->read_seconds = {};
    if (!state_->own.failure) state_->own.stage = RankStage::kDone;
  }
  stop(kLastWord);
}

void RankWatch::stop(std::chrono::milliseconds patience) {
  std::unique_lock lock(state_->mutex);
  state_->stopping = true;
  state_->changed.notify_all();
  state_->changed.wait_for(lock, patience, [&] { return state_->running == 0; });
}

void RankWatch::beat(const std::shared_ptr<State>& state) {
  bool last = false;
  while (!last) {
    std::string text;
    {
      const std::lock_guard lock(state->mutex);
      last = state->stopping;  // Once more after being told to: the last word goes out.
      ++state->own.beat;
      state->refine_stage();
      text = to_text(state->own);
    }
    bool failed = false;
    std::vector<std::string> texts;
    try {
      state->board->set(state->rank, text);
      texts = state->board->get_all();
    } catch (const std::exception&) {
      failed = true;
    }
    std::unique_lock lock(state->mutex);
    state->board_failed = failed;
    if (!failed) state->absorb(texts, Clock::now());
    state->changed.notify_all();
    if (!last)
      state->changed.wait_for(lock, state->options.beat_every, [&, failed_before = state->own.failure.has_value()] {
        return state->stopping || state->own.failure.has_value() != failed_before;
      });
  }
  const std::lock_guard lock(state->mutex);
  --state->running;
  state->changed.notify_all();
}

void RankWatch::guard(const std::shared_ptr<State>& state) {
  Clock::time_point last_look = Clock::now(), said;
  std::unique_lock lock(state->mutex);
  while (!state->stopping) {
    state->changed.wait_for(lock, kGuardEvery, [&] { return state->stopping; });
    const Clock::time_point now = Clock::now();
    if (now - last_look > kOwnPause) {
      state->last_round += now - last_look;
      for (State::Seen& rank : state->seen) {
        rank.heard += now - last_look;
        rank.moved += now - last_look;
      }
    }
    last_look = now;
    if (state->stopping) continue;
    if (state->own.failure) {
      // On its way out by itself; the same bound holds.
      if (!state->verdict) {
        state->verdict = Verdict{state->own.failure->kind, {state->rank}, state->own.failure->message};
        said = now + kLastWord + kLastWordOfServer;
      }
      if (now <= said + state->options.grace) continue;
    }
    if (!state->verdict) {
      state->verdict = state->judge(now);
      if (!state->verdict) continue;
      said = now;
      const Verdict verdict = *state->verdict;
      lock.unlock();
      if (state->options.on_verdict) state->options.on_verdict(verdict);
      lock.lock();
    } else if (now - said > state->options.grace) {
      const Verdict verdict = *state->verdict;
      lock.unlock();
      if (state->options.give_up) state->options.give_up(verdict);
      lock.lock();
      said = now;
    }
  }
  --state->running;
  state->changed.notify_all();
}

void RankWatch::enter(RankStage stage, std::function<double()> read_seconds) {
  const std::lock_guard lock(state_->mutex);
  State& state = *state_;
  state.own.stage = stage;
  ++state.own.progress;
  state.seen[static_cast<size_t>(state.rank)].moved = Clock::now();
  state.read_seconds = std::move(read_seconds);
  state.read_before = 0;
}

void RankWatch::at_step(uint64_t step) {
  const std::lock_guard lock(state_->mutex);
  state_->own.step = step;
}

RankStage RankWatch::stage() const {
  const std::lock_guard lock(state_->mutex);
  return state_->own.stage;
}

std::optional<Verdict> RankWatch::verdict() const {
  const std::lock_guard lock(state_->mutex);
  return state_->verdict;
}

std::optional<Verdict> RankWatch::blame() {
  State& state = *state_;
  std::unique_lock lock(state.mutex);
  const Clock::time_point deadline = Clock::now() + state.options.patience;
  while (true) {
    if (state.verdict) return state.verdict;
    const Clock::time_point now = Clock::now();
    const bool over = now >= deadline;
    if (over && (state.board_failed || state.board_is_silent(now, seconds_between(deadline, now) + 2)))
      return state.board_lost(now);
    if (auto verdict = blame_rank(state.sights(now), over)) return verdict;
    if (over) return std::nullopt;
    state.changed.wait_until(lock, std::min(deadline, now + kGuardEvery));
  }
}

void RankWatch::fail(imgpack::ErrorKind kind, const std::string& message, bool follows) {
  State& state = *state_;
  std::unique_lock lock(state.mutex);
  state.read_seconds = {};
  state.own.failure = RankFailure{kind, follows, message};
  state.changed.notify_all();
  const uint64_t before = state.rounds;
  // The round under way may have begun before this was said: the one after it has it.
  state.changed.wait_for(lock, kLastWord, [&] { return state.rounds >= before + 2 || state.board_failed; });
  if (!state.options.serves_board) return;
  state.changed.wait_for(lock, kLastWordOfServer, [&] {
    for (size_t i = 0; i < state.seen.size(); ++i) {
      const RankRecord& record = state.seen[i].record;
      if (static_cast<int>(i) != state.rank && !record.failure && record.stage != RankStage::kDone) return false;
    }
    return true;
  });
}

void RankWatch::finish() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->read_seconds = {};
    state_->own.stage = RankStage::kDone;
  }
  stop(kLastWord);
}

}  // namespace imgtrain
