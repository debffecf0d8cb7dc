#include "engine/train/training_step.h"

#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>

#include <algorithm>
#include <utility>

#include "engine/model/fused_batch_norm.h"
#include "engine/model/layer_observer.h"
#include "engine/train/fused_group_images.h"

namespace imgtrain {

using torch::Tensor;

TrainingStep::TrainingStep(ResNet model, const RunConfig& config, torch::Device device, GradientSync& sync,
                           std::unique_ptr<StepRecorder> recorder)
    : model_(std::move(model)),
      config_(config),
      device_(device),
      sync_(sync),
      optimizer_(*model_, config),
      scaler_(device, config.precision == Precision::kFp16, config.loss_scale_init, config.loss_scale_growth_interval),
      statistics_(*model_),
      normalizer_(device, config.precision == Precision::kFp64 ? torch::kDouble : torch::kFloat),
      fused_images_(group_images_launcher(config, device)),
      clock_(device) {
  sync_.attach(optimizer_.parameters());
  fuse_batch_norm(*model_, config.fused ? device_fused_norm(device) : nullptr);
  if (config.sync_bn && sync_.world() > 1) {
    if (config.batch < sync_.world())
      throw imgpack::Error(imgpack::ErrorKind::kUsage,
                           "sync_bn: expected a batch of at least one image a rank, found " +
                               std::to_string(config.batch) + " images for " + std::to_string(sync_.world()) +
                               " ranks");
    synchronize_batch_norm(*model_, [this](Tensor& tensor) { sync_.all_reduce_sum(tensor); });
  }
  if (config.drop_path > 0) drop_rates_ = drop_path_rates(model_->options().depth, config.drop_path);
  if (!config.cuda_graphs) return;
  if (recorder == nullptr) recorder = make_step_recorder(device);
  std::string why = recorder == nullptr ? "the device is a CPU" : why_not_recorded(config);
  if (why.empty()) {
    recorded_.emplace(std::move(recorder), device, sync_);
  } else {
    TORCH_WARN("cuda_graphs: steps are queued one operation at a time, since ", why);
  }
}

bool TrainingStep::climbs_at(uint64_t step) const {
  return config_.sam_rho > 0 && (step + 1) % static_cast<uint64_t>(config_.sam_interval) == 0;
}

Tensor TrainingStep::draw_branch_scales(const data::GroupKey& key, int64_t images) const {
  if (drop_rates_.empty()) return {};
  const std::vector<uint8_t> kept = data::kept_branches(drop_rates_, static_cast<uint32_t>(images), key);
  const auto blocks = static_cast<int64_t>(drop_rates_.size());
  Tensor scales = torch::empty({blocks, images}, torch::kFloat);
  float* scale = scales.data_ptr<float>();
  for (size_t i = 0; i < kept.size(); ++i) {
    // What is kept grows, so that its mean over many steps is that of the whole network.
    const double rate = drop_rates_[i / static_cast<size_t>(images)];
    scale[i] = kept[i] ? static_cast<float>(1 / (1 - rate)) : 0.0f;
  }
  return scales.to(device_);
}

Tensor TrainingStep::forward(const Tensor& images) {
  const Autocast scope(device_.type(), config_.precision);
  return model_->forward(images);
}

void TrainingStep::climb(const Tensor& loss) {
  const std::vector<Tensor>& weights = optimizer_.parameters();
  // Not through .grad, which is where gradients gather that ranks exchange.
  std::vector<Tensor> gradients = torch::autograd::grad({loss}, weights);
  const torch::NoGradGuard no_grad;
  constexpr double kEpsilon = 1e-12;
  const Tensor norm = torch::stack(at::_foreach_norm(gradients)).norm();
  if (weights_at_.empty()) {
    for (const Tensor& weight : weights) weights_at_.push_back(torch::empty_like(weight));
  }
  at::_foreach_copy_(weights_at_, weights);
  at::_foreach_mul_(gradients, config_.sam_rho / (norm + kEpsilon));
  at::_foreach_add_(weights, gradients);
}

void TrainingStep::descend() {
  const torch::NoGradGuard no_grad;
  at::_foreach_copy_(optimizer_.parameters(), weights_at_);
}

GroupInput TrainingStep::group_input(const DeviceBatch& batch, const StepPlan& plan, int64_t begin, int64_t count) {
  GroupInput group;
  observed(LayerKind::kInput, nullptr, "input", {batch.images.narrow(0, begin, count)}, [&] {
    group = make_group_input(batch, begin, count, config_, normalizer_, plan.size, plan.step,
                             model_->options().num_classes, fused_images_);
    return group.images;
  });
  group.branch_scales = draw_branch_scales(group_key(batch, begin, config_, plan.step), count);
  return group;
}

void TrainingStep::forward_backward(const Input& input, const DeviceBatch& batch, const StepPlan& plan,
                                    DeviceTotals& totals) {
  sync_.zero_gradients();
  statistics_.begin_step();
  const bool climbs = climbs_at(plan.step);
  for (int64_t begin = 0; begin < batch.count; begin += config_.bn_group) {
    const int64_t count = std::min(config_.bn_group, batch.count - begin);
    const GroupInput group = input(begin, count);
    model_->scale_branches(group.branch_scales);
    sync_.begin_backward(/*last_of_step=*/begin + count == batch.count);
    Tensor logits = forward(group.images);
    Tensor loss_sum = observed(LayerKind::kLoss, nullptr, "loss", {logits, group.targets},
                               [&] { return training_loss_sum(logits, group.targets, config_); });
    totals.add(logits, group.labels, loss_sum);
    statistics_.add_group(count);
    if (climbs) {
      climb(scaler_.scaled(loss_sum / static_cast<double>(count)));
      loss_sum = training_loss_sum(forward(group.images), group.targets, config_);
      statistics_.discard_group();
    }
    scaler_.scaled(loss_sum / static_cast<double>(batch.global_count)).backward();
    if (climbs) descend();
  }
}

void TrainingStep::exchange() {
  sync_.finish();
  sync_.all_reduce_sum(statistics_.sums());
}

void TrainingStep::update(const StepPlan& plan, const Tensor& lr) {
  statistics_.commit();
  scaler_.unscale(optimizer_.gradients());
  if (config_.clip_norm > 0) clip_gradients(optimizer_.gradients(), config_.clip_norm);
  optimizer_.step(plan.rates, scaler_.found_inf(), lr);
  scaler_.update();
  if (plan.average != nullptr) plan.average->update(plan.average_action);
}

void TrainingStep::run_recorded(const DeviceBatch& batch, const StepPlan& plan, DeviceTotals& totals) {
  std::vector<GroupInput> groups;
  for (int64_t begin = 0; begin < batch.count; begin += config_.bn_group)
    groups.push_back(group_input(batch, plan, begin, std::min(config_.bn_group, batch.count - begin)));
  const auto compute = [this, batch, plan, &totals](const std::vector<GroupInput>& inputs, const Tensor& lr) {
    const auto given = [&](int64_t begin, int64_t) { return inputs[static_cast<size_t>(begin / config_.bn_group)]; };
    forward_backward(given, batch, plan, totals);
    exchange();
    update(plan, lr);
  };
  const auto state = [&]() -> RecordedSteps::State {
    std::vector<Tensor> momenta, average;
    for (const auto& [name, tensor] : optimizer_.state()) momenta.push_back(tensor);
    if (plan.average != nullptr) average = plan.average->tensors();
    return {optimizer_.parameters(), model_->buffers(), momenta, scaler_.tensors(), {totals.sums()}, average};
  };
  const StepKind kind = {batch.global_count,  plan.size,           climbs_at(plan.step),
                         plan.rates.momentum, plan.average_action, totals.sums().const_data_ptr()};
  recorded_->run(kind, groups, plan.rates.lr, compute, state);
}

void TrainingStep::run(const DeviceBatch& batch, const StepPlan& plan, DeviceTotals& totals) {
  clock_.begin();
  model_->train();
  if (recorded_ && detail::layer_observer == nullptr) {
    run_recorded(batch, plan, totals);
    clock_.mark(StageClock::kForwardBackward);
    clock_.mark(StageClock::kExchange);
    clock_.mark(StageClock::kOptimizer);
    return;
  }
  forward_backward([&](int64_t begin, int64_t count) { return group_input(batch, plan, begin, count); }, batch, plan,
                   totals);
  clock_.mark(StageClock::kForwardBackward);
  exchange();
  clock_.mark(StageClock::kExchange);
  update(plan, {});
  clock_.mark(StageClock::kOptimizer);
}

}  // namespace imgtrain
