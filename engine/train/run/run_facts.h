// What a run folder says of itself, for programs that only look at it: what was trained, with what, and how well.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "format/file.h"

namespace imgtrain {

struct Accuracy {
  double top1 = 0, top5 = 0;  // Percent.
};

struct RunFacts {
  std::string recipe;  // Empty: none.
  std::string dataset_id;
  std::string created_by;            // `imgtrain 0.1.0`
  std::optional<Accuracy> accuracy;  // Of the final weights, in the last evaluation; nullopt: the run is not finished.
  uint64_t epochs = 0;               // Of a finished run.
};

// Reads run.json and, where it is there, result.json. Takes no lock: a run in progress may be looked at. Throws
// Error(kInvalidInput) where there is no run, Error(kCorruption), Error(kIo).
RunFacts read_run_facts(imgpack::FileSystem& fs, const std::filesystem::path& folder);

}  // namespace imgtrain
