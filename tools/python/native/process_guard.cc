#include "tools/python/native/process_guard.h"

#include <unistd.h>

#include <atomic>
#include <string>

#include "format/error.h"

namespace imgpack::python {
namespace {

constexpr const char* kHint =
    "start worker processes with the 'spawn' or 'forkserver' method, or make the first loader after the fork";

std::atomic<pid_t> threads_of{0};  // 0: no thread has begun.

}  // namespace

ProcessGuard::ProcessGuard() : made_in_(getpid()) {}

bool ProcessGuard::inherited() const {
  return getpid() != made_in_;
}

void ProcessGuard::check() const {
  if (!inherited()) return;
  throw Error(ErrorKind::kUsage,
              "this loader was made in process " + std::to_string(made_in_) +
                  " and came into this one by fork(), without its threads: it cannot be used here",
              {}, {}, kHint);
}

void claim_threads() {
  pid_t owner = 0;
  if (threads_of.compare_exchange_strong(owner, getpid()) || owner == getpid()) return;
  throw Error(ErrorKind::kUsage,
              "this process was forked from one that had a loader (process " + std::to_string(owner) +
                  "): its thread pool was left behind there, and a loader would wait for it for ever",
              {}, {}, kHint);
}

}  // namespace imgpack::python
