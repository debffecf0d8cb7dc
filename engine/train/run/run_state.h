// RunState: everything of a checkpoint that is not a tensor. With the tensors it is enough to go on as if nothing had
// happened: order and augmentation are functions of the position, the learning rate of the samples seen.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/train/run/metrics.h"
#include "engine/train/run/run_config.h"

namespace imgtrain {

// Where in training: `batch` optimizer steps of epoch `epoch` (0-based) are done. At the end of an epoch the position
// is the next epoch's first batch, and `evaluation_due` says that the finished one has not been evaluated yet.
struct Position {
  uint64_t epoch = 0;
  uint64_t batch = 0;
  uint64_t step = 0;  // Optimizer steps since the start of training.
  bool evaluation_due = false;
  bool operator==(const Position&) const = default;
};

struct ScalerState {
  double scale = 0;
  int64_t growth_tracker = 0;
  bool operator==(const ScalerState&) const = default;
};

// What must be equal for bit-equal continuation; a difference is said, not refused.
struct MachineFacts {
  std::string device;  // `cpu`, or the GPU's name.
  std::string cpu;     // Model name and the vector instructions in use.
  int64_t threads = 0;
  int64_t world = 1;
  bool operator==(const MachineFacts&) const = default;
};

struct RunState {
  std::string created_by;  // `imgtrain 0.1.0`
  std::string dataset_id;
  std::vector<std::string> classes;  // Position = label.
  RunConfig config;
  Position position;
  uint64_t epoch_digest = 0;       // Of the samples that the running epoch has delivered so far.
  uint64_t run_digest = 0;         // Of all finished epochs.
  uint64_t samples_delivered = 0;  // In the running epoch.
  uint64_t samples_repeated = 0;   // In all finished epochs. A correct run has 0 and 0.
  uint64_t samples_skipped = 0;
  uint64_t resumes = 0;            // How often the run was continued.
  Totals totals;                   // Training metrics of the running epoch.
  std::vector<MetricRow> history;  // Rows of metrics.csv so far.
  std::optional<ScalerState> scaler;
  MachineFacts machine;

  bool operator==(const RunState&) const = default;
};

boost::json::object to_json(const RunState& state);

// Throws Error(kCorruption) naming the key that is missing or of another kind. `path` is for messages.
RunState run_state_from_json(const boost::json::object& object, const std::string& path);

}  // namespace imgtrain
