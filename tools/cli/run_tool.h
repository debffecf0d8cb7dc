// The outermost frame of every program: runs its main function and maps what it threw to an exit code.
#pragma once

#include <functional>

#include "format/error.h"

namespace imgpack::cli {

// Exit codes, the same in every program (--help prints them).
enum ExitCode : int {
  kExitOk = 0,
  kExitFailed = 1,
  kExitUsage = 2,
  kExitSomeSkipped = 3,
  kExitDamage = 4,
  kExitUnsupportedVersion = 5,
  kExitInterrupted = 75,
  kExitSigint = 130,
};

int exit_code(ErrorKind kind);

// Returns body()'s value; an exception is printed as `PROGRAM: error: …` on stderr and mapped by exit_code,
// kInterrupted to kExitSigint where the stop came from SIGINT (tools/cli/stop_signals.h).
int run_tool(const char* program, const std::function<int()>& body);

}  // namespace imgpack::cli
