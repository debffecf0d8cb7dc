// TrainingStep: one optimizer step on one batch.
//
//   batch -> groups of bn_group samples -> { forward -> loss -> backward } each -> gradients summed over ranks
//         -> batch-norm statistics committed -> unscale -> update
//
// Losses are summed over samples and divided by the *global* batch, so that the gradient is that of the mean loss
// however the batch was cut and whoever computed which part.
#pragma once

#include <torch/torch.h>

#include "engine/model/batch_norm.h"
#include "engine/model/resnet.h"
#include "engine/train/amp.h"
#include "engine/train/batch_feed.h"
#include "engine/train/data_parallel.h"
#include "engine/train/loss.h"
#include "engine/train/optimizer.h"
#include "engine/train/run/run_config.h"
#include "engine/train/run/schedule.h"
#include "engine/train/stage_clock.h"

namespace imgtrain {

// One thread. REQUIRES: the model is on `device` in channels_last and outlives this, as does `sync`.
class TrainingStep {
 public:
  TrainingStep(ResNet model, const RunConfig& config, torch::Device device, GradientSync& sync);

  // Adds loss and hits of this rank's samples to `totals`. Queues work on the device without waiting for it.
  void run(const DeviceBatch& batch, const StepRates& rates, DeviceTotals& totals);

  torch::Device device() const { return device_; }
  ResNet& model() { return model_; }
  Optimizer& optimizer() { return optimizer_; }
  GradientScaler& scaler() { return scaler_; }
  StageClock& clock() { return clock_; }

 private:
  ResNet model_;
  RunConfig config_;
  torch::Device device_;
  GradientSync& sync_;
  Optimizer optimizer_;
  GradientScaler scaler_;
  BatchNormStatistics statistics_;
  PixelNormalizer normalizer_;
  StageClock clock_;
};

}  // namespace imgtrain
