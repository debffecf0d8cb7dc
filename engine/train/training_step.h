// TrainingStep: one optimizer step on one batch.
//
//   batch -> groups of bn_group samples -> { input -> forward -> loss -> backward } each -> gradients summed over ranks
//         -> batch-norm statistics committed -> unscale -> clip -> update -> average of the weights
//
// Losses are summed over samples and divided by the *global* batch, so that the gradient is that of the mean loss
// however the batch was cut and whoever computed which part.
//
// Sharpness-aware minimisation (P. Foret et al., arXiv 2010.01412), every sam_interval steps as in Composer: each group
// first climbs, w + rho g / |g|, with the gradient g of its own loss, then gives its gradient there, for w. So a group
// stands for a device, whatever the devices; loss, hits and batch-norm statistics are those at w.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "engine/model/batch_norm.h"
#include "engine/model/resnet.h"
#include "engine/train/amp.h"
#include "engine/train/batch_feed.h"
#include "engine/train/data_parallel.h"
#include "engine/train/group_input.h"
#include "engine/train/loss.h"
#include "engine/train/optimizer.h"
#include "engine/train/recorded_steps.h"
#include "engine/train/run/ema_rule.h"
#include "engine/train/run/run_config.h"
#include "engine/train/run/schedule.h"
#include "engine/train/stage_clock.h"
#include "engine/train/step_recorder.h"
#include "engine/train/weight_average.h"

namespace imgtrain {

// Where in training a step is, and what follows from that.
struct StepPlan {
  StepRates rates;
  uint64_t step = 0;                 // Optimizer steps before this one.
  uint32_t size = 0;                 // Pixels a side for the network; 0: as decoded.
  WeightAverage* average = nullptr;  // Moved behind the weights, if there is one.
  EmaRule::Action average_action = EmaRule::Action::kNone;
};

// With cuda_graphs whole steps, from the network's input to the update, are recorded and replayed (recorded_steps.h)
// wherever that can be.
// One thread. REQUIRES: the model is on `device` in channels_last and outlives this, as does `sync`; its tensors keep
// their memory.
class TrainingStep {
 public:
  // `recorder`: what records steps if config.cuda_graphs asks for it; by default the device's own.
  TrainingStep(ResNet model, const RunConfig& config, torch::Device device, GradientSync& sync,
               std::unique_ptr<StepRecorder> recorder = nullptr);

  // Adds loss and hits of this rank's samples to `totals`. Queues work on the device without waiting for it.
  void run(const DeviceBatch& batch, const StepPlan& plan, DeviceTotals& totals);

  torch::Device device() const { return device_; }
  ResNet& model() { return model_; }
  Optimizer& optimizer() { return optimizer_; }
  GradientScaler& scaler() { return scaler_; }
  // In a replayed step all of it counts as kForwardBackward.
  StageClock& clock() { return clock_; }
  // nullptr: steps are not recorded, nor was it tried.
  const RecordedSteps* recorded() const { return recorded_ ? &*recorded_ : nullptr; }

 private:
  // The input of the group of `count` samples from `begin` on.
  using Input = std::function<GroupInput(int64_t begin, int64_t count)>;

  void forward_backward(const Input& input, const DeviceBatch& batch, const StepPlan& plan, DeviceTotals& totals);
  void exchange();
  void update(const StepPlan& plan, const torch::Tensor& lr);
  GroupInput group_input(const DeviceBatch& batch, const StepPlan& plan, int64_t begin, int64_t count);
  void run_recorded(const DeviceBatch& batch, const StepPlan& plan, DeviceTotals& totals);
  bool climbs_at(uint64_t step) const;  // Whether it is a sharpness-aware one.
  // Draws which branches of the network this group drops: GroupInput::branch_scales.
  torch::Tensor draw_branch_scales(const data::GroupKey& key, int64_t images) const;
  torch::Tensor forward(const torch::Tensor& images);
  // Puts w + rho g / |g| in place of the weights w; descend() puts w back.
  void climb(const torch::Tensor& loss);
  void descend();

  ResNet model_;
  RunConfig config_;
  torch::Device device_;
  GradientSync& sync_;
  Optimizer optimizer_;
  GradientScaler scaler_;
  BatchNormStatistics statistics_;
  PixelNormalizer normalizer_;
  kernels::GroupImagesLauncher fused_images_;
  std::vector<double> drop_rates_;         // Of every block; empty: none is dropped.
  std::vector<torch::Tensor> weights_at_;  // sam: the weights before climbing.
  StageClock clock_;
  std::optional<RecordedSteps> recorded_;
};

}  // namespace imgtrain
