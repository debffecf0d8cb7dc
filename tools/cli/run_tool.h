// The outermost frame of every program: runs its main function and maps what it threw to an exit code.
#pragma once

#include <functional>

#include "format/exit_code.h"

namespace imgpack::cli {

using enum ExitCode;
using imgpack::exit_code;

// Returns body()'s value; an exception is printed as `PROGRAM: error: …` on stderr and mapped by exit_code,
// kInterrupted to kExitSigint where the stop came from SIGINT (tools/cli/stop_signals.h).
int run_tool(const char* program, const std::function<int()>& body);

}  // namespace imgpack::cli
