#include "format/exit_code.h"

namespace imgpack {

int exit_code(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kUsage:
      return kExitUsage;
    case ErrorKind::kCorruption:
      return kExitDamage;
    case ErrorKind::kUnsupportedVersion:
      return kExitUnsupportedVersion;
    case ErrorKind::kInterrupted:
      return kExitInterrupted;
    case ErrorKind::kIo:
    case ErrorKind::kInvalidInput:
    case ErrorKind::kInternal:
      return kExitFailed;
  }
  return kExitFailed;
}

}  // namespace imgpack
