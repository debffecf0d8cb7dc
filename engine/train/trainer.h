// A training run from its configuration to its result, and evaluation on its own. No torch in here: programs include
// it.
//
//   RunConfig -> open data set -> build model -> (resume) -> { epoch: steps -> checkpoint -> evaluation } -> weights
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/train/run/class_report.h"
#include "engine/train/run/metrics.h"
#include "engine/train/run/run_config.h"
#include "engine/train/run/run_listener.h"
#include "format/file.h"
#include "format/manifest.h"

namespace imgtrain {

struct TrainRequest {
  ResolvedConfig config;
  bool fresh = false;      // Take a new folder beside a run that is there already.
  bool extend = false;     // Length, batch, learning rate and schedule may differ from those of the run that is there.
  std::string created_by;  // `imgtrain 0.1.0`
};

enum class RunEnd {
  kFinished,
  kAlreadyFinished,  // The run in the folder was complete: nothing was done.
  kStopped,          // The listener asked for it; a checkpoint is saved.
};

struct TrainOutcome {
  RunEnd end = RunEnd::kFinished;
  std::filesystem::path folder;
  boost::json::object result;  // Of a finished run: what result.json holds. Empty where another rank found it so.
  bool leads = true;           // Of several ranks the first has the word.
};

// Trains, or goes on with the run that is in the folder. The same configuration gives the same weights, however often
// it was interrupted (bit for bit on one kind of CPU with the same number of compute threads), and however many ranks
// trained it (to float tolerance). Of several ranks only rank 0 touches the run folder. Throws Error: kUsage for
// a configuration that cannot work or that differs from the run in the folder, kInvalidInput for data that does not
// fit, kCorruption for damage, kIo.
TrainOutcome train(imgpack::FileSystem& fs, const TrainRequest& request, RunListener& listener);

struct EvaluateRequest {
  std::filesystem::path shards;
  std::filesystem::path checkpoint;  // A run folder (its final weights, else its newest checkpoint) or a .safetensors.
  std::string split;                 // Empty: the run's, else `val`.
  ConfigLayer overrides;             // Options of the command line.
  // Image sizes to measure at: {crop, short side before it}. Empty: the configuration's eval_size and eval_resize.
  std::vector<std::pair<int64_t, int64_t>> sizes;
  bool best = false;  // Of a run folder: the checkpoint that did best, instead of the final weights.
};

// At one image size.
struct SizeResult {
  int64_t size = 0, resize = 0;
  Totals totals;
  std::vector<ClassCount> per_class;  // In label order.
  std::optional<RealTotals> real;     // Where the data set has ReaL labels (label set `real` of the split).
};

struct EvaluateOutcome {
  std::vector<SizeResult> sizes;  // In the order asked for; empty if it was stopped.
  std::vector<imgpack::ClassInfo> class_list;
  std::filesystem::path weights;  // The file that was read.
  std::string split;
  std::string model;  // `resnet18`
  int64_t classes = 0;
  RunConfig config;
  bool stopped = false;
  bool leads = true;  // Of several ranks the first has the word: it prints the result, which all of them have.
};

// Throws as train() does.
EvaluateOutcome evaluate(imgpack::FileSystem& fs, const EvaluateRequest& request, RunListener& listener);

}  // namespace imgtrain
