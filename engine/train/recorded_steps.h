// RecordedSteps: training steps that are queued with one launch each, instead of some hundred.
//
//   step of a kind (sizes, number of groups, …)    the first few: as ever      then: tried, recorded      from then on:
//   inputs -> memory that stays, rate -> device                                                           replay
//
// A step is first done both ways from the same state. Only where weights, statistics, optimizer and totals agree but
// for rounding is the recording kept; otherwise, or where the device will not record, everything goes on as it always
// did, with a warning that says why. A device or driver that nobody tried this on costs speed then, and no results.
//
// Ranks exchange gradients in a replayed step as in any other: the same exchanges in the same order, so that some ranks
// may replay what others queue anew. Only the trial does the step's exchanges twice. All ranks try in the same step
// then, and keep or give up together.
#pragma once

#include <torch/torch.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/train/data_parallel.h"
#include "engine/train/group_input.h"
#include "engine/train/run/ema_rule.h"
#include "engine/train/run/run_config.h"
#include "engine/train/step_recorder.h"

namespace imgtrain {

// Why steps of this configuration cannot be recorded, as half a sentence; empty: they can.
std::string why_not_recorded(const RunConfig& config);

// What a recording is good for, besides the shapes of its inputs. All but `totals` is the same on every rank.
struct StepKind {
  int64_t global_count = 0;
  uint32_t size = 0;    // Pixels a side.
  bool climbs = false;  // A sharpness-aware step.
  double momentum = 0;
  EmaRule::Action average = EmaRule::Action::kNone;  // What becomes of the average of the weights.
  const void* totals = nullptr;                      // Where loss and hits are added.
  auto operator<=>(const StepKind&) const = default;
};

// One thread.
class RecordedSteps {
 public:
  // Does a whole step from these inputs, with the rate that the 1-element float tensor on the device holds. Nothing
  // that it takes from elsewhere may change from step to step, but for the contents of tensors. May be kept, and
  // run later.
  using Compute = std::function<void(const std::vector<GroupInput>& groups, const torch::Tensor& lr)>;
  // All tensors that a step changes and the next one reads, in lists of one kind each.
  using State = std::vector<std::vector<torch::Tensor>>;

  // REQUIRES: tensors of `state` given to run() keep their memory as long as this lives; `sync` outlives it.
  RecordedSteps(std::unique_ptr<StepRecorder> recorder, torch::Device device, GradientSync& sync);

  // Does the step, once, one way or the other. `state` is asked for when a recording is tried, and only then. Every
  // rank calls it for every step; without `groups` (no samples here) nothing is recorded.
  void run(const StepKind& kind, const std::vector<GroupInput>& groups, double lr, const Compute& compute,
           const std::function<State()>& state);

  uint64_t replayed() const { return replayed_; }  // Steps so far.
  // Why recording was given up; empty: it was not.
  const std::string& refusal() const { return refusal_; }

 private:
  struct Recorded {
    int seen = 0;  // Steps of the kind so far, up to the one that is recorded.
    std::vector<GroupInput> inputs;
    std::unique_ptr<StepRecording> recording;
    void take(const std::vector<GroupInput>& groups);  // Into `inputs`.
  };
  using Key = std::pair<StepKind, std::vector<int64_t>>;

  // The recording that these inputs belong to; nullptr: there is none, nor will there be.
  Recorded* find(const StepKind& kind, const std::vector<GroupInput>& groups);
  bool all_try(StepKind kind, bool wish);
  void try_out(Recorded* step, const std::function<void()>& compute, const State& state);
  std::string replay_first(Recorded& step, const std::function<void()>& compute);
  void give_up(const std::string& why);

  std::unique_ptr<StepRecorder> recorder_;
  GradientSync& sync_;
  torch::Tensor lr_;  // 1-element float, on the device.
  std::map<Key, Recorded> steps_;
  std::map<StepKind, uint64_t> seen_by_all_;  // Steps of each kind, whose totals are nullptr: the same on every rank.
  std::string refusal_;
  uint64_t replayed_ = 0;
};

}  // namespace imgtrain
