#include "engine/train/run/input_watch.h"

#include <utility>

#include "engine/data/numa.h"

namespace imgtrain {
namespace {

uint32_t cores_here() {
  size_t cores = 0;
  for (const data::NumaNode& node : data::numa_nodes()) cores += node.cpus.size();
  return static_cast<uint32_t>(cores);
}

}  // namespace

InputWatch::InputWatch(data::BatchPipeline& pipeline, const imgpack::SplitView& split, RunListener& listener)
    : pipeline_(pipeline), repack_(data::estimate_repack(split)), listener_(listener) {}

void InputWatch::begin() {
  start_ = std::chrono::steady_clock::now();
  images_ = 0;
}

void InputWatch::count(uint64_t images, const std::vector<std::string>& left_out) {
  images_ += images;
  left_out_ += left_out.size();
  for (const std::string& message : left_out) listener_.warn("damaged record left out: " + message);
}

void InputWatch::answer(const std::string& title, double copy_seconds) {
  if (listener_.take_report_request()) report(title, copy_seconds);
}

void InputWatch::report(const std::string& title, double copy_seconds) {
  const EpochTiming now = timing(copy_seconds);
  listener_.say(title + "  input  " + bottleneck_sentence(now) + "; " + stage_report(now));
  say_notes();
}

void InputWatch::say_notes() {
  for (const std::string& note : pipeline_.take_notes()) listener_.say(note);
}

EpochTiming InputWatch::timing(double copy_seconds) const {
  EpochTiming timing;
  timing.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  timing.images = images_;
  timing.input_threads = pipeline_.threads();
  timing.cores = cores_here();
  timing.stages = pipeline_.stage_seconds();
  timing.copy_seconds = copy_seconds;
  timing.repack = repack_;
  return timing;
}

uint64_t InputWatch::take_left_out() {
  return std::exchange(left_out_, 0);
}

}  // namespace imgtrain
