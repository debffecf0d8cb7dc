#include "tools/cli/stop_signals.h"

#include <csignal>

#include "format/error.h"

namespace imgpack::cli {
namespace {

std::atomic<int> reason{0};
std::atomic<bool> stopped{false};
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<bool>::is_always_lock_free,
              "a signal handler may only touch lock-free atomics");

extern "C" void on_stop_signal(int signal) {
  // A second Ctrl-C means "now".
  if (signal == SIGINT && reason.load() == static_cast<int>(StopReason::kSigint)) {
    std::signal(SIGINT, SIG_DFL);
    std::raise(SIGINT);
    return;
  }
  request_stop(signal == SIGINT ? StopReason::kSigint : StopReason::kSigterm);
}

}  // namespace

void catch_stop_signals() {
  struct sigaction action = {};
  action.sa_handler = on_stop_signal;
  sigemptyset(&action.sa_mask);
  // System calls go on where they were: only the loops that ask are stopped.
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

void request_stop(StopReason why) {
  int none = 0;
  reason.compare_exchange_strong(none, static_cast<int>(why));
  stopped.store(true);
}

StopReason stop_reason() {
  return static_cast<StopReason>(reason.load(std::memory_order_relaxed));
}

const std::atomic<bool>& stop_flag() {
  return stopped;
}

void throw_if_stopped(const std::string& state) {
  if (!stopped.load(std::memory_order_relaxed)) return;
  const char* why = "stopped";
  switch (stop_reason()) {
    case StopReason::kSigint:
      why = "stopped by SIGINT";
      break;
    case StopReason::kSigterm:
      why = "stopped by SIGTERM";
      break;
    case StopReason::kNotice:
      why = "stopped by an interruption notice";
      break;
    case StopReason::kNone:
      break;
  }
  throw Error(ErrorKind::kInterrupted, std::string(why) + ": " + state);
}

void forget_stop_request() {
  reason.store(0);
  stopped.store(false);
}

}  // namespace imgpack::cli
