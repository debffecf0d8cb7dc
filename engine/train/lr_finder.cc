#include "engine/train/lr_finder.h"

#include <cstdio>
#include <utility>
#include <vector>

#include "engine/train/trial.h"
#include "engine/train/trial_ground.h"

namespace imgtrain {
namespace {

// What a training changes, as it was; put back by the destructor.
class Restore {
 public:
  explicit Restore(TrainingStep& step) : step_(step), scaler_(step.scaler().state()) {
    for (const NamedTensors& tensors : {state_dict(*step.model()), step.optimizer().state()})
      for (const auto& [name, tensor] : tensors) copies_.emplace_back(tensor, tensor.detach().clone());
  }
  ~Restore() {
    const torch::NoGradGuard no_grad;
    for (auto& [tensor, copy] : copies_) tensor.copy_(copy);
    if (scaler_) step_.scaler().load(*scaler_);
  }
  Restore(const Restore&) = delete;
  Restore& operator=(const Restore&) = delete;

 private:
  TrainingStep& step_;
  std::optional<ScalerState> scaler_;
  std::vector<std::pair<torch::Tensor, torch::Tensor>> copies_;
};

}  // namespace

std::optional<LrCurve> range_test(TrainingStep& step, const LrRange& range, double momentum,
                                  const std::function<std::optional<DeviceBatch>()>& next,
                                  const std::function<void(const LrPoint&)>& progress) {
  const Restore restore(step);
  LrCurve curve(range);
  DeviceTotals totals(step.device());
  for (uint64_t i = 0; i < range.steps; ++i) {
    const auto batch = next();
    if (!batch) return std::nullopt;
    totals.reset();
    step.run(*batch, {{rate_at(range, i), momentum}, i}, totals);
    while (step.clock().take()) {
    }
    const bool goes_on = curve.add(totals.read().loss());
    if (progress) progress(curve.points().back());
    if (!goes_on) break;
  }
  return curve;
}

std::optional<LrCurve> find_learning_rate(imgpack::FileSystem& fs, const RunConfig& config, const LrRange& range,
                                          RunListener& listener) {
  TrialGround ground(fs, config, listener);
  TrialBatches batches(ground);
  TrainingStep step(ground.make_model(), ground.config(), ground.device(), ground.sync());
  listener.begin_pass({"learning-rate range", range.steps * static_cast<uint64_t>(config.batch), 0,
                       static_cast<double>(config.log_seconds)});
  const auto next = [&]() -> std::optional<DeviceBatch> {
    if (listener.take_request() == RunRequest::kStop) return std::nullopt;
    return batches.next();
  };
  const auto curve = range_test(step, range, config.momentum, next, [&](const LrPoint& point) {
    listener.advance(static_cast<uint64_t>(config.batch));
    char text[80];
    std::snprintf(text, sizeof(text), "lr %.2e  loss %.3f", point.lr, point.smoothed);
    listener.note(text);
  });
  listener.end_pass();
  return curve;
}

}  // namespace imgtrain
