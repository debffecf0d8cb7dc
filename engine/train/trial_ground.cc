#include "engine/train/trial_ground.h"

#include "engine/train/compute_device.h"
#include "engine/train/model_setup.h"
#include "engine/train/run/input_options.h"
#include "engine/train/run/launch.h"
#include "format/error.h"

namespace imgtrain {
namespace {

using imgpack::Error;
using imgpack::ErrorKind;

const RunConfig& checked(const RunConfig& config) {
  if (config.shards.empty()) throw Error(ErrorKind::kUsage, "shards: expected the folder of a data set, found nothing");
  return config;
}

}  // namespace

TrialGround::TrialGround(imgpack::FileSystem& fs, const RunConfig& config, RunListener& listener)
    : fs_(fs),
      config_(checked(config)),
      dataset_(imgpack::Dataset::open(fs, config.shards)),
      device_(choose_device(config)),
      sync_(make_gradient_sync(Launch(), device_)) {
  const int64_t threads = configure_compute(config_, device_);
  config_.input_threads = choose_input_threads(config_, device_);
  const MachineFacts machine = machine_facts(device_, threads, 1);
  listener.say("device: " + machine.device + " (" + machine.cpu + ", " + std::to_string(threads) + " compute threads)");
  require_labeled(dataset_, config_.train_split);
}

ResNet TrialGround::make_model() const {
  ResNet model = imgtrain::make_model(config_, static_cast<int64_t>(dataset_.manifest().classes.size()), device_);
  if (!config_.init.empty()) load_initial_weights(fs_, config_, model);
  return model;
}

TrialBatches::TrialBatches(const TrialGround& ground)
    : slots_(slot_memory(ground.device())),
      pipeline_(ground.fs(), ground.dataset(), training_input(ground.config(), {}), *slots_),
      feed_(pipeline_, ground.device()) {
  feed_.start_epoch(epoch_);
}

DeviceBatch TrialBatches::next() {
  while (true) {
    if (auto batch = feed_.next()) return *batch;
    feed_.start_epoch(++epoch_);
  }
}

DeviceBatch made_up_batch(int64_t count, int64_t size, int64_t classes, torch::Device device) {
  DeviceBatch batch;
  batch.images = torch::randint(256, {count, size, size, 3}, torch::dtype(torch::kUInt8).device(device));
  batch.labels = torch::randint(classes, {count}, torch::dtype(torch::kLong).device(device));
  batch.count = batch.global_count = count;
  return batch;
}

}  // namespace imgtrain
