#include "tools/cli/run_tool.h"

#include <cstdio>
#include <exception>
#include <new>

#include "tools/cli/console.h"
#include "tools/cli/stop_signals.h"

namespace imgpack::cli {
namespace {

void print_error(const char* program, const char* what) {
  const char* word = console().has_colour() ? "\x1b[31merror:\x1b[0m" : "error:";
  std::fprintf(stderr, "%s: %s %s\n", program, word, what);
}

}  // namespace

int run_tool(const char* program, const std::function<int()>& body) {
  try {
    return body();
  } catch (const Error& error) {
    print_error(program, error.what());
    if (error.kind() == ErrorKind::kInterrupted && stop_reason() == StopReason::kSigint) return kExitSigint;
    return exit_code(error.kind());
  } catch (const std::bad_alloc&) {
    print_error(program, "out of memory");
  } catch (const std::exception& error) {
    print_error(program, error.what());
  }
  return kExitFailed;
}

}  // namespace imgpack::cli
