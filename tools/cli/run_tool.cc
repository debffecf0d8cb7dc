#include "tools/cli/run_tool.h"

#include <cstdio>
#include <exception>
#include <new>

namespace imgpack::cli {

int exit_code(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kUsage: return kExitUsage;
    case ErrorKind::kCorruption: return kExitDamage;
    case ErrorKind::kUnsupportedVersion: return kExitUnsupportedVersion;
    case ErrorKind::kInterrupted: return kExitInterrupted;
    case ErrorKind::kIo:
    case ErrorKind::kInvalidInput:
    case ErrorKind::kInternal: return kExitFailed;
  }
  return kExitFailed;
}

int run_tool(const char* program, const std::function<int()>& body) {
  try {
    return body();
  } catch (const Error& error) {
    std::fprintf(stderr, "%s: error: %s\n", program, error.what());
    return exit_code(error.kind());
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "%s: error: out of memory\n", program);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: error: %s\n", program, error.what());
  }
  return kExitFailed;
}

}  // namespace imgpack::cli
