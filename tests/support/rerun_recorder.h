// Recorders of steps that need no device: what they record is the work itself, done again with every number that the
// host handed over while it was recorded.
#pragma once

#include <functional>
#include <memory>
#include <stdexcept>
#include <utility>

#include "engine/train/step_recorder.h"

namespace imgtrain {

class Rerun : public StepRecording {
 public:
  explicit Rerun(std::function<void()> work) : work_(std::move(work)) {}
  void replay() override { work_(); }

 private:
  std::function<void()> work_;
};

class RerunRecorder : public StepRecorder {
 public:
  std::unique_ptr<StepRecording> record(const std::function<void()>& work) override {
    return std::make_unique<Rerun>(work);
  }
};

class RefusingRecorder : public StepRecorder {
 public:
  std::unique_ptr<StepRecording> record(const std::function<void()>&) override {
    throw std::runtime_error("operation not permitted when stream is capturing");
  }
};

}  // namespace imgtrain
