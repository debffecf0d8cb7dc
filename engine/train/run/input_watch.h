// InputWatch keeps an eye on an input pipeline for whoever trains or evaluates from it: what it delivered, what it left
// out, where its time went, and what people should be told.
//
//   begin() at the start of a pass -- count() after every batch --> timing(), report()
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/data/batch_pipeline.h"
#include "engine/train/run/bottleneck.h"
#include "engine/train/run/run_listener.h"

namespace imgtrain {

// One thread. Refers to its arguments.
class InputWatch {
 public:
  // `split`: what the pipeline reads, for the estimate of what a smaller pack would give.
  InputWatch(data::BatchPipeline& pipeline, const imgpack::SplitView& split, RunListener& listener);

  void begin();
  // `left_out`: of the batch, what was wrong with each record; each is a warning.
  void count(uint64_t images, const std::vector<std::string>& left_out);
  // Answers SIGUSR1, if it has come: one line. `copy_seconds`: of this pass, to the device.
  void answer(const std::string& title, double copy_seconds);
  // Says the line in any case, and the notes.
  void report(const std::string& title, double copy_seconds);
  void say_notes();  // What the pipeline wants people to be told.
  EpochTiming timing(double copy_seconds) const;
  uint64_t take_left_out();  // Records left out since the last call.

 private:
  data::BatchPipeline& pipeline_;
  const data::RepackEstimate repack_;
  RunListener& listener_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  uint64_t images_ = 0, left_out_ = 0;
};

}  // namespace imgtrain
