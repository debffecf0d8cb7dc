#include "engine/serve/run_story.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <cmath>
#include <utility>

#include "engine/train/run/json_text.h"
#include "format/checksum.h"

namespace imgtrain::serve {

namespace json = boost::json;

namespace {

constexpr size_t kMaxPoints = 1200;
constexpr size_t kMaxLines = 60;
constexpr size_t kMaxLineBytes = 2000;
constexpr double kRecentSeconds = 60;   // That the pace is a mean of.
constexpr double kSilentSeconds = 180;  // Without an event: an evaluation or a start may take as long.

double number(const json::object& event, const char* key) {
  const json::value* value = event.if_contains(key);
  if (value == nullptr || !value->is_number()) return 0;
  const double found = value->to_number<double>();
  return std::isfinite(found) ? found : 0;
}

uint64_t count(const json::object& event, const char* key) {
  const double value = number(event, key);
  return value > 0 && value < 1e15 ? static_cast<uint64_t>(value) : 0;
}

std::string text(const json::object& event, const char* key) {
  const json::value* value = event.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

}  // namespace

void RunStory::Curve::add(double x, double y) {
  at.push_back(x);
  value.push_back(y);
  if (at.size() < kMaxPoints) return;
  size_t kept = 0;
  // kMaxPoints is even: of each pair the later one stays, and so the newest.
  for (size_t i = 1; i < at.size(); i += 2, ++kept) {
    at[kept] = at[i];
    value[kept] = value[i];
  }
  at.resize(kept);
  value.resize(kept);
}

void RunStory::Curve::forget_from(double x) {
  while (!at.empty() && at.back() >= x) {
    at.pop_back();
    value.pop_back();
  }
}

json::object RunStory::Curve::to_json() const {
  return {{"at", json::array(at.begin(), at.end())}, {"value", json::array(value.begin(), value.end())}};
}

void RunStory::add(std::string_view line) {
  boost::system::error_code failure;
  const json::value value = json::parse(json::string_view(line.data(), line.size()), failure);
  if (failure || !value.is_object()) return;
  const json::object& event = value.get_object();
  const std::string type = text(event, "message_type");
  if (type.empty() || !seen_.insert(imgpack::checksum(line)).second) return;
  const double time = number(event, "time");
  if (type == "line") {
    say(time, text(event, "text"));
    return;
  }
  if (type == "machine") {
    machine(event);
    return;
  }
  const bool begins = type == "start" || type == "resume";
  if (first_time_ == 0) first_time_ = time;
  if (!begins && last_time_ > 0 && time > last_time_) active_seconds_ += time - last_time_;
  last_time_ = std::max(last_time_, time);
  state_ = type == "stop" ? "stopped" : type == "diagnosis" ? "broken" : type == "finish" ? "finished" : "running";
  if (begins) {
    resumed(event, type == "resume");
  } else if (type == "progress") {
    progress(event);
  } else if (type == "epoch") {
    epoch(event);
  } else if (type == "evaluation") {
    const double step = number(event, "step");
    val_loss_.add(step, number(event, "loss"));
    val_top1_.add(step, number(event, "accuracy"));
    val_top5_.add(step, number(event, "accuracy_top5"));
    whole_epoch_ = true;
    say(time, "epoch " + std::to_string(count(event, "epoch")) + "  val  loss " + fixed_text(number(event, "loss"), 4) +
                  "  top-1 " + fixed_text(number(event, "accuracy"), 2) + " %  top-5 " +
                  fixed_text(number(event, "accuracy_top5"), 2) + " %");
  } else if (type == "checkpoint") {
    say(time, "checkpoint of step " + std::to_string(count(event, "step")) + ": training stood still for " +
                  fixed_text(number(event, "stall_seconds"), 2) + " s");
  } else if (type == "stop") {
    say(time, "stopped at step " + std::to_string(count(event, "step")));
  } else if (type == "diagnosis") {
    say(time, "the loss of step " + std::to_string(count(event, "step")) + " was no number: see diagnosis.json");
  } else if (type == "finish") {
    step_ = std::max(step_, count(event, "steps"));
    say(time, "finished");
  }
}

void RunStory::resumed(const json::object& event, bool resume) {
  step_ = count(event, "step");
  epoch_ = count(event, "epoch");
  total_steps_ = count(event, "total_steps");
  device_ = text(event, "device");
  created_by_ = text(event, "created_by");
  threads_ = count(event, "threads");
  session_time_ = number(event, "time");
  session_step_ = step_;
  whole_epoch_ = false;
  recent_.clear();
  // Of what had been done at that very step the record is kept; what came later is lost.
  const double lost = static_cast<double>(step_) + 1;
  for (Curve* curve : {&train_loss_, &train_top1_, &train_top5_, &val_loss_, &val_top1_, &val_top5_, &running_loss_,
                       &learning_rate_, &pace_})
    curve->forget_from(lost);
  if (!resume) {
    say(session_time_, "started on " + device_ + ", " + std::to_string(total_steps_) + " steps");
    return;
  }
  ++resumes_;
  say(session_time_, "resumed at step " + std::to_string(step_) + " of " + std::to_string(total_steps_));
}

void RunStory::progress(const json::object& event) {
  const Moment moment{number(event, "time"), count(event, "step")};
  step_ = moment.step;
  epoch_ = count(event, "epoch");
  const double step = static_cast<double>(step_);
  running_loss_.add(step, number(event, "loss"));
  learning_rate_.add(step, number(event, "learning_rate"));
  if (!recent_.empty() && moment.time > recent_.back().time && moment.step > recent_.back().step) {
    pace_.add(step, static_cast<double>(moment.step - recent_.back().step) / (moment.time - recent_.back().time));
  }
  recent_.push_back(moment);
  while (recent_.size() > 2 && recent_.back().time - recent_.front().time > kRecentSeconds) recent_.pop_front();
}

void RunStory::epoch(const json::object& event) {
  const double step = number(event, "step");
  step_ = count(event, "step");
  epoch_ = count(event, "epoch");
  train_loss_.add(step, number(event, "loss"));
  train_top1_.add(step, number(event, "accuracy"));
  train_top5_.add(step, number(event, "accuracy_top5"));
  learning_rate_.add(step, number(event, "learning_rate"));
  recent_.clear();  // What comes between epochs is no step.
  stages_.clear();
  for (const char* key : {"epoch", "stages", "input_shares", "starved_share", "bottleneck", "images_per_second"}) {
    if (const json::value* value = event.if_contains(key)) stages_[key] = *value;
  }
  say(number(event, "time"),
      "epoch " + std::to_string(epoch_) + "  train  loss " + fixed_text(number(event, "loss"), 4) + "  top-1 " +
          fixed_text(number(event, "accuracy"), 2) + " %  " + fixed_text(number(event, "images_per_second"), 0) +
          " images/s  " + text(event, "bottleneck"));
}

void RunStory::machine(const json::object& event) {
  machine_ = event;
  const double time = number(event, "time");
  cpu_.add(time, 100 * number(event, "cpu"));
  const json::value* gpus = event.if_contains("gpus");
  if (gpus == nullptr || !gpus->is_array() || gpus->get_array().empty()) return;
  double sum = 0;
  for (const json::value& gpu : gpus->get_array())
    if (gpu.is_object()) sum += number(gpu.get_object(), "use");
  gpu_.add(time, 100 * sum / static_cast<double>(gpus->get_array().size()));
}

void RunStory::say(double time, std::string what) {
  if (what.size() > kMaxLineBytes) what.resize(kMaxLineBytes);
  lines_.emplace_back(time, std::move(what));
  if (lines_.size() > kMaxLines) lines_.pop_front();
}

double RunStory::pace() const {
  // With an evaluation in it, the pace of the whole process holds everything that training takes; before, only steps
  // do.
  if (whole_epoch_ && last_time_ > session_time_ && step_ > session_step_)
    return static_cast<double>(step_ - session_step_) / (last_time_ - session_time_);
  if (recent_.size() < 2 || recent_.back().time <= recent_.front().time) return 0;
  return static_cast<double>(recent_.back().step - recent_.front().step) / (recent_.back().time - recent_.front().time);
}

json::object RunStory::to_json(double now, int64_t batch, bool finished) const {
  const bool silent = state_ == "running" && now - last_time_ > kSilentSeconds;
  const std::string state = finished ? "finished" : silent ? "silent" : state_;
  const double images = static_cast<double>(batch);
  json::value eta = nullptr;
  if (state == "running" && pace() > 0 && total_steps_ >= step_)
    eta = static_cast<double>(total_steps_ - step_) / pace();
  json::value now_pace = nullptr;
  if (state == "running" && recent_.size() > 1 && recent_.back().time > recent_.front().time) {
    now_pace = images * static_cast<double>(recent_.back().step - recent_.front().step) /
               (recent_.back().time - recent_.front().time);
  } else if (const json::value* last = stages_.if_contains("images_per_second")) {
    now_pace = *last;
  }
  json::object throughput = pace_.to_json();
  for (json::value& value : throughput["value"].as_array()) value = value.as_double() * images;
  json::array lines;
  for (const auto& [time, what] : lines_) lines.push_back(json::object{{"time", time}, {"text", what}});
  return {{"state", state},
          {"step", step_},
          {"total_steps", total_steps_},
          {"epoch", epoch_},
          {"resumes", resumes_},
          {"device", device_},
          {"created_by", created_by_},
          {"threads", threads_},
          {"images_per_second", std::move(now_pace)},
          {"eta_seconds", std::move(eta)},
          {"active_seconds", active_seconds_},
          {"first_time", first_time_},
          {"last_time", last_time_},
          {"now", now},
          {"curves", json::object{{"train_loss", train_loss_.to_json()},
                                  {"train_top1", train_top1_.to_json()},
                                  {"train_top5", train_top5_.to_json()},
                                  {"val_loss", val_loss_.to_json()},
                                  {"val_top1", val_top1_.to_json()},
                                  {"val_top5", val_top5_.to_json()},
                                  {"running_loss", running_loss_.to_json()},
                                  {"learning_rate", learning_rate_.to_json()},
                                  {"images_per_second", std::move(throughput)},
                                  {"cpu", cpu_.to_json()},
                                  {"gpu", gpu_.to_json()}}},
          {"stages", stages_},
          {"machine", machine_},
          {"lines", std::move(lines)}};
}

}  // namespace imgtrain::serve
