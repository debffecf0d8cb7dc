// Shows a run on standard error: notes, one progress bar, and Ctrl-C, SIGTERM and interruption
// notices as requests.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "engine/train/run/run_listener.h"
#include "tools/cli/console.h"
#include "tools/cli/progress.h"

namespace imgtrain {

class ConsoleListener : public RunListener {
 public:
  // Of several ranks the first talks; the others only warn, and say who they are.
  explicit ConsoleListener(imgpack::cli::Console& console, bool quiet, int rank = 0)
      : console_(console), quiet_(quiet || rank > 0), prefix_(rank > 0 ? "rank " + std::to_string(rank) + ": " : "") {}

  void say(const std::string& line) override;
  void warn(const std::string& line) override;
  void begin_pass(const PassInfo& pass) override;
  void advance(uint64_t images) override;
  void note(const std::string& text) override;
  void end_pass() override;
  RunRequest take_request() override;
  bool take_report_request() override;
  void ask_to_save() { save_asked_ = true; }  // Any thread.

 private:
  imgpack::cli::Console& console_;
  bool quiet_;
  std::string prefix_;
  std::unique_ptr<imgpack::cli::Progress> progress_;
  std::atomic<bool> save_asked_{false};
};

}  // namespace imgtrain
