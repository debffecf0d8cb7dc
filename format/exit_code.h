// Exit codes, the same in every program (--help prints them), and which error ends with which.
#pragma once

#include "format/error.h"

namespace imgpack {

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

}  // namespace imgpack
