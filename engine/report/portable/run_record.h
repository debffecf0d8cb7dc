// What a run folder says of a run: its configuration, every epoch and evaluation, its result. Reads, never writes; a
// run in progress is read as far as it has come.
//
//   config.json, run.json, metrics.jsonl, result.json  ->  RunRecord
//
// Work that a run lost to an interruption and did again is in it once.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "engine/train/run/run_config.h"
#include "format/file.h"

namespace imgtrain {

// Seconds of an epoch's stages, summed over its steps, as `stages` of the `epoch` event.
struct StageTimes {
  uint64_t steps = 0;
  double read = 0, decode = 0, wait = 0, copy = 0, forward_backward = 0, exchange = 0, optimizer = 0;
};

// Shares of the time, 0 to 1, as `input_shares` of the `epoch` event.
struct InputShares {
  double read = 0, check = 0, decode = 0, augment = 0, wait = 0, copy = 0;
};

struct TrainedEpoch {
  uint64_t epoch = 0;  // From 1.
  uint64_t step = 0;   // When it ended.
  double loss = 0, top1 = 0, top5 = 0;
  double learning_rate = 0;  // Of its last step.
  double seconds = 0, images_per_second = 0;
  StageTimes stages;
  InputShares shares;
  std::string bottleneck;    // The sentence.
  std::string order_digest;  // Of this epoch.
};

struct EvaluatedEpoch {
  uint64_t epoch = 0;  // That it followed.
  double loss = 0, top1 = 0, top5 = 0;
  uint64_t images = 0;
  double seconds = 0;
};

struct RateSample {
  double epochs = 0;  // Done by then, with their fraction.
  double learning_rate = 0;
};

struct RunRecord {
  std::filesystem::path folder;
  std::string name;  // Of the folder.
  RunConfig config;
  std::string recipe;  // Empty: none.
  std::string dataset_id, created_by;
  std::string device;  // That it ran on last.
  uint64_t threads = 0, total_steps = 0, resumes = 0;
  std::vector<TrainedEpoch> epochs;           // Ascending.
  std::vector<EvaluatedEpoch> evaluations;    // Ascending.
  std::vector<RateSample> rates;              // Ascending.
  std::optional<boost::json::object> result;  // Of a finished run.

  double seconds() const;  // Of all epochs and evaluations.
};

// Throws Error(kInvalidInput) where there is no run, Error(kCorruption) naming the line for a file that is not what a
// run writes, Error(kIo). At most 1 GiB of metrics.jsonl, of which a record per epoch and second of training is kept.
RunRecord read_run(imgpack::FileSystem& fs, const std::filesystem::path& folder);

// The events of metrics.jsonl alone, into `record`. Throws Error(kCorruption); `path` is for messages.
void read_events(std::string_view text, const std::filesystem::path& path, RunRecord& record);

}  // namespace imgtrain
