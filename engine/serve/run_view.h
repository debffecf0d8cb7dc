// RunView: a run folder, running or finished, as one JSON object: what the page of `imgtrain watch` polls.
//
//   config.json run.json result.json metrics.jsonl live.jsonl -> RunStory -> snapshot()
//
// It reads, and writes nothing.
#pragma once

#include <chrono>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>

#include "engine/serve/lines_tail.h"
#include "engine/serve/run_story.h"
#include "format/file.h"

namespace imgtrain::serve {

// Thread-safe.
class RunView {
 public:
  // Reads the configuration alone: a training that shows itself does not wait for its past to be read. `fs` outlives
  // this. Throws Error(kInvalidInput) where there is no run. `dollars_per_hour`: of the machine.
  RunView(imgpack::FileSystem& fs, std::filesystem::path folder, std::optional<double> dollars_per_hour);

  // The story's object, and `name`, `recipe`, `dataset_id`, `model`, `epochs`, `batch`, `result` (null: not finished)
  // and `dollars` (null: no price was given). Looks into the folder at most once a second. Throws Error.
  std::string snapshot();

 private:
  void refresh();

  imgpack::FileSystem& fs_;
  const std::filesystem::path folder_;
  const std::optional<double> dollars_per_hour_;
  std::mutex mutex_;
  LinesTail metrics_;
  std::optional<LinesTail> live_;  // Made anew where metrics.jsonl is another one.
  RunStory story_;
  std::string json_;  // Empty: nobody has asked yet.
  std::chrono::steady_clock::time_point refreshed_;
};

}  // namespace imgtrain::serve
