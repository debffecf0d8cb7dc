// Ctrl-C and SIGTERM as a request that the program answers at its next clean point.
//
//   catch_stop_signals()  once in main; then long loops call throw_if_stopped(), which ends in exit code 130 or 75
//
// The first signal asks; a second SIGINT ends the program at once (files on disk are safe even then: everything is
// published by rename).
#pragma once

#include <atomic>
#include <string>

namespace imgpack::cli {

enum class StopReason : int {
  kNone = 0,
  kSigint = 1,   // Exit code 130.
  kSigterm = 2,  // Exit code 75.
  kNotice = 3,   // The program's own: an interruption notice, a time limit. Exit code 75.
};

void catch_stop_signals();
void request_stop(StopReason reason);  // Thread-safe and async-signal-safe. The first reason stays.
StopReason stop_reason();              // Thread-safe and cheap.

// True from the first request on: what libraries that know nothing of signals are given to look at.
const std::atomic<bool>& stop_flag();

// Throws Error(kInterrupted) that says why and `state` ("finished shards are kept: run the same command to go on").
void throw_if_stopped(const std::string& state);

void forget_stop_request();  // For tests.

}  // namespace imgpack::cli
