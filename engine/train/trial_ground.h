// What the short trainings of trial.h stand on: device, threads and data set of this machine, made in the order that
// training itself makes them.
#pragma once

#include <torch/torch.h>

#include <memory>
#include <optional>

#include "engine/data/batch_pipeline.h"
#include "engine/model/resnet.h"
#include "engine/train/batch_feed.h"
#include "engine/train/data_parallel.h"
#include "engine/train/run/run_config.h"
#include "engine/train/run/run_listener.h"
#include "format/dataset.h"

namespace imgtrain {

// One process: the finders do not run on several ranks. One thread.
class TrialGround {
 public:
  // `fs` outlives this. Throws as train() does.
  TrialGround(imgpack::FileSystem& fs, const RunConfig& config, RunListener& listener);
  imgpack::FileSystem& fs() const { return fs_; }
  const RunConfig& config() const { return config_; }
  const imgpack::Dataset& dataset() const { return dataset_; }
  torch::Device device() const { return device_; }
  GradientSync& sync() const { return *sync_; }
  ResNet make_model() const;

 private:
  imgpack::FileSystem& fs_;
  RunConfig config_;
  const imgpack::Dataset dataset_;
  const torch::Device device_;
  std::unique_ptr<GradientSync> sync_;
};

// Training batches without end: epoch after epoch.
class TrialBatches {
 public:
  explicit TrialBatches(const TrialGround& ground);
  DeviceBatch next();
  void prefetch() { feed_.prefetch(); }  // When the work on the batch that next() gave is queued.
  const data::BatchPipeline& pipeline() const { return pipeline_; }

 private:
  std::shared_ptr<data::SlotAllocator> slots_;
  data::BatchPipeline pipeline_;
  BatchFeed feed_;
  uint64_t epoch_ = 0;
};

// A made-up batch on the device.
DeviceBatch made_up_batch(int64_t count, int64_t size, int64_t classes, torch::Device device);

}  // namespace imgtrain
