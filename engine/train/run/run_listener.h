// RunListener: how a long run talks to whoever started it, and is told to stop. The tools draw progress bars with it;
// tests count.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace imgtrain {

// What a run is asked to do, by whoever started it or by the machine. A larger one includes the smaller.
enum class RunRequest : int {
  kNone = 0,
  kSave = 1,  // Save a checkpoint and go on.
  kStop = 2,  // Save one and end.
};

// One pass over images: an epoch of training, or an evaluation.
struct PassInfo {
  std::string title;         // `epoch 3/15`, `val`
  uint64_t images = 0;       // In the whole pass.
  uint64_t done_before = 0;  // Of these, by an earlier run that this one continues.
  double log_seconds = 10;
};

// Called from the thread that trains.
class RunListener {
 public:
  virtual ~RunListener() = default;
  virtual void say(const std::string& line) = 0;
  virtual void warn(const std::string& line) = 0;
  virtual void begin_pass(const PassInfo& pass) = 0;
  virtual void advance(uint64_t images) = 0;
  virtual void note(const std::string& text) = 0;  // Beside the progress: `loss 2.31`.
  virtual void end_pass() = 0;
  // The run that trains is in this folder. Once, before its first step.
  virtual void opened(const std::filesystem::path& /*folder*/) {}
  // Asked after every batch; cheap. kSave is answered once per request, kStop from then on.
  virtual RunRequest take_request() = 0;
  // Whether somebody has asked, since the last call, where the time goes (SIGUSR1). Cheap.
  virtual bool take_report_request() { return false; }
};

}  // namespace imgtrain
