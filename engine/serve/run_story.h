// RunStory: what the events of a run add up to for somebody who watches it: curves, pace, how long it still takes, what
// it cost so far, what it said last.
//
//   lines of metrics.jsonl and live.jsonl -> add() -> to_json()
//
// Work that was lost with an interruption is left out, as metrics_event.schema.json says.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace imgtrain::serve {

// One thread.
class RunStory {
 public:
  // A line of either file. One that was there before, or that is no event, changes nothing.
  void add(std::string_view line);

  // `now`: seconds since 1970. `batch`: images of a step. Keys: state, step, total_steps, epoch, images_per_second,
  // eta_seconds (null: not known), active_seconds, curves, stages, machine, lines. See docs/serving.md.
  boost::json::object to_json(double now, int64_t batch, bool finished) const;

  double active_seconds() const { return active_seconds_; }

 private:
  // Values at steps. Beyond kMaxPoints every second point is let go.
  struct Curve {
    std::vector<double> at, value;
    void add(double x, double y);
    void forget_from(double x);
    boost::json::object to_json() const;
  };

  void progress(const boost::json::object& event);
  void epoch(const boost::json::object& event);
  void resumed(const boost::json::object& event, bool resume);
  void machine(const boost::json::object& event);
  void say(double time, std::string text);
  double pace() const;  // Steps a second; 0: not known.

  std::unordered_set<uint64_t> seen_;  // Digests of lines.
  std::string state_ = "waiting";
  double first_time_ = 0, last_time_ = 0, active_seconds_ = 0;
  uint64_t step_ = 0, total_steps_ = 0, epoch_ = 0;
  std::string device_, created_by_;
  uint64_t threads_ = 0, resumes_ = 0;
  // Of this process: where it began, for the pace with everything in it.
  double session_time_ = 0;
  uint64_t session_step_ = 0;
  bool whole_epoch_ = false;  // Of this process: an epoch and its evaluation are done.
  struct Moment {
    double time = 0;
    uint64_t step = 0;
  };
  std::deque<Moment> recent_;
  Curve train_loss_, train_top1_, train_top5_, val_loss_, val_top1_, val_top5_, running_loss_, learning_rate_, pace_;
  Curve cpu_, gpu_;  // At seconds since 1970.
  boost::json::object stages_, machine_;
  std::deque<std::pair<double, std::string>> lines_;
};

}  // namespace imgtrain::serve
