#include "engine/train/training_step.h"

#include <algorithm>
#include <utility>

namespace imgtrain {

using torch::Tensor;

TrainingStep::TrainingStep(ResNet model, const RunConfig& config, torch::Device device, GradientSync& sync)
    : model_(std::move(model)),
      config_(config),
      device_(device),
      sync_(sync),
      optimizer_(*model_, config),
      scaler_(device, config.precision == Precision::kFp16, config.loss_scale_init, config.loss_scale_growth_interval),
      statistics_(*model_),
      normalizer_(device),
      clock_(device) {
  sync_.attach(optimizer_.parameters());
}

void TrainingStep::run(const DeviceBatch& batch, const StepRates& rates, DeviceTotals& totals) {
  clock_.begin();
  model_->train();
  sync_.zero_gradients();
  statistics_.begin_step();
  for (int64_t begin = 0; begin < batch.count; begin += config_.bn_group) {
    const int64_t count = std::min(config_.bn_group, batch.count - begin);
    const Tensor images = normalizer_(batch.images.narrow(0, begin, count));
    const Tensor labels = batch.labels.narrow(0, begin, count);
    sync_.begin_backward(/*last_of_step=*/begin + count == batch.count);
    Tensor logits;
    {
      const Autocast scope(device_.type(), config_.precision);
      logits = model_->forward(images);
    }
    const Tensor loss_sum = cross_entropy_sum(logits, labels, config_.label_smoothing);
    scaler_.scaled(loss_sum / static_cast<double>(batch.global_count)).backward();
    statistics_.add_group(count);
    totals.add(logits, labels, loss_sum);
  }
  clock_.mark(StageClock::kForwardBackward);
  sync_.finish();
  sync_.all_reduce_sum(statistics_.sums());
  clock_.mark(StageClock::kExchange);
  statistics_.commit();
  scaler_.unscale(optimizer_.gradients());
  optimizer_.step(rates, scaler_.found_inf());
  scaler_.update();
  clock_.mark(StageClock::kOptimizer);
}

}  // namespace imgtrain
