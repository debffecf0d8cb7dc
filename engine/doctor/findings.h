// examine(): pure decisions about a machine's facts. Every finding that is not in order names what to do.
#pragma once

#include <string>
#include <vector>

#include "engine/doctor/facts.h"

namespace imgtrain::doctor {

enum class Level {
  kOk,       // As it should be.
  kNote,     // Works; good to know.
  kWarning,  // Works, but slower or with less safety than it could.
  kProblem,  // Something will fail.
};

const char* to_string(Level level);  // `ok`, `note`, `warning`, `problem`

struct Finding {
  std::string check;  // Stable name for scripts: `gpu.driver`.
  Level level = Level::kOk;
  std::string what;  // One sentence, with the figures.
  std::string fix;   // A command or a setting. Empty where there is nothing to do.
};

// In a fixed order: CPU, memory, limits, io_uring, clock, metadata, folders, GPU, libtorch.
std::vector<Finding> examine(const Facts& facts);

Level worst(const std::vector<Finding>& findings);

}  // namespace imgtrain::doctor
