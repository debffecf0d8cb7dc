#include "tools/imgtrain/console_listener.h"

#include "tools/cli/report_signal.h"
#include "tools/cli/stop_signals.h"

namespace imgtrain {

namespace cli = imgpack::cli;

void ConsoleListener::say(const std::string& line) {
  if (!quiet_) console_.say(line);
}

void ConsoleListener::warn(const std::string& line) {
  console_.warn(prefix_ + line);
}

void ConsoleListener::begin_pass(const PassInfo& pass) {
  cli::ProgressOptions options;
  options.title = pass.title;
  options.total = pass.images;
  options.done_before = pass.done_before;
  options.quiet = quiet_;
  options.log_interval_s = pass.log_seconds;
  progress_ = std::make_unique<cli::Progress>(console_, options);
}

void ConsoleListener::advance(uint64_t images) {
  if (progress_ != nullptr) progress_->advance(images);
}

void ConsoleListener::note(const std::string& text) {
  if (progress_ != nullptr) progress_->set_note(text);
}

// The line that sums the pass up comes from the run itself; the bar only goes away.
void ConsoleListener::end_pass() {
  progress_.reset();
}

RunRequest ConsoleListener::take_request() {
  if (cli::stop_reason() != cli::StopReason::kNone) return RunRequest::kStop;
  return save_asked_.exchange(false) ? RunRequest::kSave : RunRequest::kNone;
}

bool ConsoleListener::take_report_request() {
  return cli::take_report_request();
}

}  // namespace imgtrain
