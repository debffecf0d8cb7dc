#include "engine/train/recorded_steps.h"

#include <cmath>
#include <exception>
#include <utility>

namespace imgtrain {
namespace {

using torch::Tensor;

// Libraries choose algorithms and allocate workspaces while they see shapes for the first time.
constexpr int kStepsBefore = 3;
// Each holds memory for its inputs. Resolutions, mixed and plain targets and a shorter last batch make a handful.
constexpr size_t kMostKinds = 16;
// Of the change that the step makes to each list of state, as a 2-norm. Gradients of convolutions differ from run to
// run where they are summed with atomics.
constexpr double kTolerance = 0.02;

std::vector<int64_t> shapes_of(const std::vector<GroupInput>& groups) {
  std::vector<int64_t> shapes;
  for (const GroupInput& group : groups) {
    for (const Tensor& tensor : {group.images, group.labels, group.targets}) {
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
  return copy;
}

void put(const GroupInput& from, GroupInput& to) {
  to.images.copy_(from.images, /*non_blocking=*/true);
  to.labels.copy_(from.labels, /*non_blocking=*/true);
  if (!to.targets.is_same(to.labels)) to.targets.copy_(from.targets, /*non_blocking=*/true);
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

}  // namespace

std::string why_not_recorded(const RunConfig& config, int world) {
  if (world > 1) return "gradients travel between " + std::to_string(world) + " ranks";
  if (config.sam_rho > 0) return "sharpness-aware steps (sam_rho) are not the same work every time";
  if (config.drop_path > 0) return "the host draws which branches are dropped (drop_path)";
  if (config.optimizer == OptimizerKind::kLamb) return "LAMB asks the host whether a step is to be skipped";
  if (config.schedule == ScheduleKind::kOneCycle && config.onecycle_cycle_momentum)
    return "momentum changes from step to step (onecycle_cycle_momentum)";
  return {};
}

RecordedSteps::RecordedSteps(std::unique_ptr<StepRecorder> recorder, torch::Device device)
    : recorder_(std::move(recorder)), lr_(torch::zeros({1}, torch::dtype(torch::kFloat).device(device))) {}

void RecordedSteps::run(const StepKind& kind, const std::vector<GroupInput>& groups, double lr, const Compute& compute,
                        const std::function<State()>& state) {
  const torch::NoGradGuard no_grad;
  const auto compute_with_grad = [compute, lr = lr_](const std::vector<GroupInput>& inputs) {
    const torch::AutoGradMode grad(true);
    compute(inputs, lr);
  };
  lr_.fill_(lr);
  Key key{kind, shapes_of(groups)};
  auto found = steps_.find(key);
  if (found == steps_.end() && refusal_.empty() && steps_.size() < kMostKinds)
    found = steps_.emplace(std::move(key), Recorded()).first;
  if (found == steps_.end() || (!refusal_.empty() && found->second.recording == nullptr)) {
    compute_with_grad(groups);
    return;
  }
  Recorded& step = found->second;
  if (step.recording != nullptr) {
    for (size_t i = 0; i < groups.size(); ++i) put(groups[i], step.inputs[i]);
    step.recording->replay();
    ++replayed_;
  } else if (step.seen < kStepsBefore) {
    ++step.seen;
    compute_with_grad(groups);
  } else {
    for (const GroupInput& group : groups) step.inputs.push_back(copy_of(group));
    const std::function<void()> whole_step = [compute_with_grad, inputs = &step.inputs] { compute_with_grad(*inputs); };
    try_out(step, whole_step, state());
    if (step.recording == nullptr) step.inputs.clear();
  }
}

void RecordedSteps::try_out(Recorded& step, const std::function<void()>& compute, const State& state) {
  const State before = contents(state);
  compute();
  const State expected = contents(state);
  std::vector<double> moved;
  for (size_t i = 0; i < state.size(); ++i) moved.push_back(distance(expected[i], before[i]));
  // A step that the gradient scaler skipped would agree with anything.
  if (moved.front() == 0) return;
  restore(before, state);
  std::unique_ptr<StepRecording> recording;
  std::string why;
  try {
    recording = recorder_->record(compute);
    recording->replay();
    for (size_t i = 0; i < state.size() && why.empty(); ++i) {
      const double error = distance(state[i], expected[i]);
      if (!(error <= kTolerance * moved[i]))  // True for NaN.
        why = "a recorded step moved list " + std::to_string(i) + " of its state by " + std::to_string(error) +
              " elsewhere than the step itself, which moved it by " + std::to_string(moved[i]);
    }
  } catch (const std::exception& error) {
    why = error.what();
  }
  if (why.empty()) {
    step.recording = std::move(recording);
    ++replayed_;
    return;
  }
  restore(expected, state);
  give_up(why);
}

void RecordedSteps::give_up(const std::string& why) {
  refusal_ = why;
  TORCH_WARN("steps are not recorded as CUDA graphs, queueing them one operation at a time is slower and right: ", why);
}

}  // namespace imgtrain
