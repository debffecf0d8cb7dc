#include "tools/cli/report_signal.h"

#include <atomic>
#include <csignal>

namespace imgpack::cli {
namespace {

std::atomic<bool> asked{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may only touch lock-free atomics");

extern "C" void on_report_signal(int) {
  asked.store(true);
}

}  // namespace

void catch_report_signal() {
  struct sigaction action = {};
  action.sa_handler = on_report_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  sigaction(SIGUSR1, &action, nullptr);
}

bool take_report_request() {
  return asked.load(std::memory_order_relaxed) && asked.exchange(false);
}

}  // namespace imgpack::cli
