// Short trainings that leave nothing behind but numbers: the learning-rate finder, the batch finder, the probe that an
// estimate starts from, and the profile of a step. No torch in here: programs include it.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "engine/train/run/estimate.h"
#include "engine/train/run/lr_range.h"
#include "engine/train/run/run_config.h"
#include "engine/train/run/run_listener.h"
#include "engine/train/run/step_profile.h"
#include "format/file.h"

namespace imgtrain {

// Trains `range.steps` steps on the batches of config.shards, each at its rate of the range, and gives the losses. The
// configuration's schedule and length have no say. nullopt: the listener asked to stop.
std::optional<LrCurve> find_learning_rate(imgpack::FileSystem& fs, const RunConfig& config, const LrRange& range,
                                          RunListener& listener);

struct BatchTrial {
  int64_t batch = 0;
  uint64_t peak_bytes = 0;  // Memory while it ran: of the device, or of the process on a CPU.
  bool fits = false;
  double images_per_second = 0;
};
struct BatchFinding {
  int64_t largest = 0;  // Images that one forward and backward pass can take; 0: not even the smallest.
  uint64_t limit_bytes = 0;
  bool estimated = false;  // CPU: from the memory of smaller ones, since too large a one would be killed.
  std::vector<BatchTrial> trials;
};

// The largest micro-batch of the configuration's model and image size, up to `most`. On a CPU the limit is
// `memory_bytes`, or what is available now (0); on CUDA it is what the device gives.
BatchFinding find_batch(const RunConfig& config, int64_t classes, uint64_t memory_bytes, int64_t most,
                        RunListener& listener);

// Reads shards past the page cache where the system allows it, decodes as training would, and trains on made-up images:
// each for at most a third of `budget`. Throws as train() does.
MachineProbe probe_machine(imgpack::FileSystem& fs, const RunConfig& config, std::chrono::seconds budget,
                           RunListener& listener);

struct ProfileOptions {
  int64_t rounds = 5;      // Timed.
  int64_t steps = 0;       // Of each round; 0: 20 on CUDA, 1 on a CPU.
  int64_t observed = 3;    // Steps with a clock at every layer, after those.
  int64_t classes = 1000;  // Of the model; the data set's where config.shards is given.
};

// Trains on the batches of config.shards, or on a made-up one in the device's memory where it is empty, and says where
// the time goes. config.trace: one more step is recorded there. nullopt: the listener asked to stop.
std::optional<StepProfile> profile_step(imgpack::FileSystem& fs, const RunConfig& config, const ProfileOptions& options,
                                        RunListener& listener);

}  // namespace imgtrain
