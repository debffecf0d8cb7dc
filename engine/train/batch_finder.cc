#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <string>

#include "engine/data/cache_policy.h"
#include "engine/train/compute_device.h"
#include "engine/train/device_memory.h"
#include "engine/train/model_setup.h"
#include "engine/train/run/memory_limit.h"
#include "engine/train/training_step.h"
#include "engine/train/trial.h"
#include "engine/train/trial_ground.h"

#ifdef IMGTRAIN_WITH_CUDA
#include <cuda_runtime_api.h>
#endif

namespace imgtrain {
namespace {

using Clock = std::chrono::steady_clock;

// Steps of one trial: the second has everything the first one made for later ones.
constexpr int kSteps = 2;
// Of the memory, kept free for what a real run has beside the steps: slots, decoders, the rest of the machine.
constexpr double kUsable = 0.9;

// One batch size: a model of its own, so that every trial starts from the same memory.
BatchTrial try_batch(const RunConfig& given, int64_t classes, torch::Device device, GradientSync& sync, int64_t batch) {
  RunConfig config = given;
  config.batch = config.bn_group = batch;
  BatchTrial trial{batch, 0, false, 0};
  forget_peak_memory(device);
  try {
    TrainingStep step(make_model(config, classes, device), config, device, sync);
    DeviceTotals totals(device);
    const DeviceBatch images = made_up_batch(batch, config.train_size, classes, device);
    Clock::time_point start;
    for (int i = 0; i < kSteps; ++i) {
      start = Clock::now();
      step.run(images, {1e-3, config.momentum}, totals);
      totals.read();  // Waits for the step.
    }
    trial.images_per_second = static_cast<double>(batch) / std::chrono::duration<double>(Clock::now() - start).count();
    trial.fits = true;
  } catch (const c10::OutOfMemoryError&) {
    trial.fits = false;
  }
  trial.peak_bytes = peak_memory(device);
  return trial;
}

}  // namespace

BatchFinding find_batch(const RunConfig& config, int64_t classes, uint64_t memory_bytes, int64_t most,
                        RunListener& listener) {
  const torch::Device device = choose_device(config);
  configure_compute(config, device);
  const auto sync = make_gradient_sync(Launch(), device);
  BatchFinding finding;
  finding.limit_bytes = static_cast<uint64_t>(
      kUsable * static_cast<double>(memory_bytes > 0 ? memory_bytes : data::available_memory_bytes()));
#ifdef IMGTRAIN_WITH_CUDA
  if (device.is_cuda()) {
    size_t free = 0, total = 0;
    if (::cudaMemGetInfo(&free, &total) == cudaSuccess) finding.limit_bytes = free;
  }
#endif
  finding.estimated = !device.is_cuda();
  // Doubling, as long as the next one can be expected to fit.
  for (int64_t batch = 8; batch <= most; batch *= 2) {
    if (listener.take_request() == RunRequest::kStop) break;
    const size_t n = finding.trials.size();
    if (finding.estimated && n >= 2) {
      const BatchTrial &a = finding.trials[n - 2], &b = finding.trials[n - 1];
      if (memory_of_batch({a.batch, a.peak_bytes}, {b.batch, b.peak_bytes}, batch) > finding.limit_bytes) break;
    }
    finding.trials.push_back(try_batch(config, classes, device, *sync, batch));
    const BatchTrial& trial = finding.trials.back();
    listener.note("batch " + std::to_string(batch) + (trial.fits ? " fits" : " does not fit"));
    if (!trial.fits) break;
    finding.largest = batch;
  }
  if (finding.estimated) {
    const size_t n = finding.trials.size();
    if (n >= 2) {
      const BatchTrial &a = finding.trials[n - 2], &b = finding.trials[n - 1];
      finding.largest = largest_batch({a.batch, a.peak_bytes}, {b.batch, b.peak_bytes}, finding.limit_bytes, most);
    }
    return finding;
  }
  // Halving between the largest that fits and the smallest that does not, to 1/16 of the result.
  int64_t low = finding.largest, high = finding.trials.empty() || finding.trials.back().fits ? low : low * 2;
  while (high - low > std::max<int64_t>(1, low / 16)) {
    if (listener.take_request() == RunRequest::kStop) break;
    finding.trials.push_back(try_batch(config, classes, device, *sync, (low + high) / 2));
    (finding.trials.back().fits ? low : high) = finding.trials.back().batch;
  }
  finding.largest = low;
  return finding;
}

}  // namespace imgtrain
