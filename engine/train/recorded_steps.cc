#include "engine/train/recorded_steps.h"

#include <bit>
#include <cmath>
#include <exception>
#include <utility>

namespace imgtrain {
namespace {

using torch::Tensor;

// Libraries choose algorithms and allocate workspaces while they see shapes for the first time.
constexpr int kStepsBefore = 3;
// Of a kind, in which ranks ask each other whether one wants to try a recording.
constexpr uint64_t kStepsOfAsking = 64;
// Each holds memory for its inputs. Resolutions, mixed and plain targets and a shorter last batch make a handful.
constexpr size_t kMostKinds = 16;
// Of the change that the step makes to each list of state, as a 2-norm. Gradients of convolutions differ from run to
// run where they are summed with atomics.
constexpr double kTolerance = 0.02;

std::vector<int64_t> shapes_of(const std::vector<GroupInput>& groups) {
  std::vector<int64_t> shapes;
  for (const GroupInput& group : groups) {
    for (const Tensor& tensor : {group.images, group.labels, group.targets, group.branch_scales}) {
      if (!tensor.defined()) continue;
      shapes.push_back(static_cast<int64_t>(tensor.scalar_type()));
      shapes.push_back(tensor.dim());
      shapes.insert(shapes.end(), tensor.sizes().begin(), tensor.sizes().end());
    }
  }
  return shapes;
}

// Memory like that of `group`, with its contents.
GroupInput copy_of(const GroupInput& group) {
  GroupInput copy;
  copy.images = group.images.clone();
  copy.labels = group.labels.clone();
  copy.targets = group.targets.is_same(group.labels) ? copy.labels : group.targets.clone();
  if (group.branch_scales.defined()) copy.branch_scales = group.branch_scales.clone();
  return copy;
}

void put(const GroupInput& from, GroupInput& to) {
  to.images.copy_(from.images, /*non_blocking=*/true);
  to.labels.copy_(from.labels, /*non_blocking=*/true);
  if (!to.targets.is_same(to.labels)) to.targets.copy_(from.targets, /*non_blocking=*/true);
  if (to.branch_scales.defined()) to.branch_scales.copy_(from.branch_scales, /*non_blocking=*/true);
}

std::vector<Tensor> contents(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> copies;
  copies.reserve(tensors.size());
  for (const Tensor& tensor : tensors) copies.push_back(tensor.detach().clone());
  return copies;
}

RecordedSteps::State contents(const RecordedSteps::State& state) {
  RecordedSteps::State copies;
  copies.reserve(state.size());
  for (const std::vector<Tensor>& tensors : state) copies.push_back(contents(tensors));
  return copies;
}

void restore(const RecordedSteps::State& from, const RecordedSteps::State& to) {
  for (size_t i = 0; i < to.size(); ++i) {
    for (size_t k = 0; k < to[i].size(); ++k) to[i][k].detach().copy_(from[i][k]);
  }
}

// 2-norm of the difference, over all tensors.
double distance(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i)
    sum += (a[i].detach().to(torch::kDouble) - b[i].detach().to(torch::kDouble)).square().sum().item<double>();
  return std::sqrt(sum);
}

class ExchangesAreRecorded {
 public:
  explicit ExchangesAreRecorded(GradientSync& sync) : sync_(sync) { sync_.record(true); }
  ~ExchangesAreRecorded() { sync_.record(false); }
  ExchangesAreRecorded(const ExchangesAreRecorded&) = delete;
  ExchangesAreRecorded& operator=(const ExchangesAreRecorded&) = delete;

 private:
  GradientSync& sync_;
};

}  // namespace

std::string why_not_recorded(const RunConfig& config) {
  if (config.schedule == ScheduleKind::kOneCycle && config.onecycle_cycle_momentum)
    return "momentum changes from step to step (onecycle_cycle_momentum)";
  return {};
}

RecordedSteps::RecordedSteps(std::unique_ptr<StepRecorder> recorder, torch::Device device, GradientSync& sync)
    : recorder_(std::move(recorder)), sync_(sync), lr_(torch::zeros({1}, torch::dtype(torch::kFloat).device(device))) {}

void RecordedSteps::run(const StepKind& kind, const std::vector<GroupInput>& groups, double lr, const Compute& compute,
                        const std::function<State()>& state) {
  const torch::NoGradGuard no_grad;
  const auto compute_with_grad = [compute, lr = lr_](const std::vector<GroupInput>& inputs) {
    const torch::AutoGradMode grad(true);
    compute(inputs, lr);
  };
  lr_.fill_(lr);
  Recorded* const step = find(kind, groups);
  const bool ready = step != nullptr && step->seen >= kStepsBefore;
  const bool recorded = step != nullptr && step->recording != nullptr;
  if (refusal_.empty() && all_try(kind, /*wish=*/ready && !recorded)) {
    if (ready) {
      step->take(groups);
      try_out(
          step, [compute_with_grad, inputs = &step->inputs] { compute_with_grad(*inputs); }, state());
      if (step->recording == nullptr) step->inputs.clear();
    } else {
      if (step != nullptr) ++step->seen;
      try_out(
          nullptr, [&] { compute_with_grad(groups); }, state());
    }
  } else if (recorded) {
    step->take(groups);
    step->recording->replay();
    ++replayed_;
  } else {
    if (step != nullptr) ++step->seen;
    compute_with_grad(groups);
  }
}

void RecordedSteps::Recorded::take(const std::vector<GroupInput>& groups) {
  if (inputs.empty()) {
    for (const GroupInput& group : groups) inputs.push_back(copy_of(group));
  } else {
    for (size_t i = 0; i < groups.size(); ++i) put(groups[i], inputs[i]);
  }
}

RecordedSteps::Recorded* RecordedSteps::find(const StepKind& kind, const std::vector<GroupInput>& groups) {
  if (groups.empty()) return nullptr;
  Key key{kind, shapes_of(groups)};
  const auto found = steps_.find(key);
  if (found != steps_.end()) return &found->second;
  if (!refusal_.empty() || steps_.size() >= kMostKinds) return nullptr;
  return &steps_.emplace(std::move(key), Recorded()).first->second;
}

// Whether this step is the trial of some rank's recording. Asking takes an exchange for which the host waits: in the
// first steps of a kind always, later when their number is a power of two. A rank's inputs may be new that late: where
// damaged records were left out, say.
bool RecordedSteps::all_try(StepKind kind, bool wish) {
  if (sync_.world() == 1) return wish;
  kind.totals = nullptr;
  const uint64_t seen = seen_by_all_[kind]++;
  if (seen < kStepsBefore || (seen >= kStepsOfAsking && !std::has_single_bit(seen))) return false;
  return largest_over_ranks(sync_, wish ? 1 : 0, lr_.device()) > 0;
}

void RecordedSteps::try_out(Recorded* step, const std::function<void()>& compute, const State& state) {
  const State before = contents(state);
  compute();
  const State expected = contents(state);
  std::vector<double> moved;
  for (size_t i = 0; i < state.size(); ++i) moved.push_back(distance(expected[i], before[i]));
  // A step that the gradient scaler skipped, which it does on all ranks, would agree with anything.
  if (moved.front() == 0) return;
  restore(before, state);
  const bool is_new = step != nullptr && step->recording == nullptr;
  std::string why = step == nullptr ? std::string() : replay_first(*step, compute);
  const bool replayed = step != nullptr && why.empty();
  if (!replayed && sync_.world() > 1) compute();  // The other ranks exchange a second time.
  for (size_t i = 0; i < state.size() && replayed && why.empty(); ++i) {
    const double error = distance(state[i], expected[i]);
    if (!(error <= kTolerance * moved[i]))  // True for NaN.
      why = "a recorded step moved list " + std::to_string(i) + " of its state by " + std::to_string(error) +
            " elsewhere than the step itself, which moved it by " + std::to_string(moved[i]);
  }
  const bool is_wrong = !why.empty();
  if (sync_.world() > 1 && largest_over_ranks(sync_, is_wrong ? 1 : 0, lr_.device()) > 0 && !is_wrong)
    why = "another rank could not record its part of the step";
  if (why.empty()) {
    if (replayed) ++replayed_;
    return;
  }
  if (is_new || is_wrong) step->recording = nullptr;
  restore(expected, state);
  give_up(why);
}

// Records the step, if it is not yet, and does it from the recording. Empty, or why it could not be recorded; nothing
// was done then.
std::string RecordedSteps::replay_first(Recorded& step, const std::function<void()>& compute) {
  try {
    if (step.recording == nullptr) {
      const ExchangesAreRecorded scope(sync_);
      step.recording = recorder_->record(compute);
    }
    step.recording->replay();
  } catch (const std::exception& error) {
    return error.what();
  }
  return {};
}

void RecordedSteps::give_up(const std::string& why) {
  refusal_ = why;
  TORCH_WARN("steps are not recorded as CUDA graphs, queueing them one operation at a time is slower and right: ", why);
}

}  // namespace imgtrain
