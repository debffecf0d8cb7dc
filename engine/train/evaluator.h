// Exact evaluation: every sample of a split once, on any number of ranks, and the count is checked.
#pragma once

#include <torch/torch.h>

#include <memory>
#include <optional>
#include <string>

#include "engine/data/batch_pipeline.h"
#include "engine/model/resnet.h"
#include "engine/train/batch_feed.h"
#include "engine/train/data_parallel.h"
#include "engine/train/run/input_watch.h"
#include "engine/train/run/metrics.h"
#include "engine/train/run/run_config.h"
#include "engine/train/run/run_listener.h"
#include "format/dataset.h"

namespace imgtrain {

// Keeps its input pipeline between evaluations. One thread.
class Evaluator {
 public:
  // Throws Error(kInvalidInput) where the split is missing, empty or has no labels.
  Evaluator(imgpack::FileSystem& fs, const imgpack::Dataset& dataset, const std::string& split, const RunConfig& config,
            torch::Device device, GradientSync& sync);

  // Resize to eval_resize, centre crop of eval_size; cross-entropy without smoothing, as a mean per sample. Loss and
  // accuracies of all ranks together. nullopt: the listener asked to stop. Throws Error(kInternal) if the samples seen
  // are not exactly those of the split.
  std::optional<Totals> run(ResNet& model, RunListener& listener);

  uint64_t images() const { return images_; }

 private:
  std::string split_;
  RunConfig config_;
  torch::Device device_;
  GradientSync& sync_;
  const imgpack::SplitView& view_;
  uint64_t images_;
  std::shared_ptr<data::SlotAllocator> slots_;
  data::BatchPipeline pipeline_;
  BatchFeed feed_;
  std::optional<InputWatch> watch_;  // Of the listener of the run in progress.
  PixelNormalizer normalizer_;
};

}  // namespace imgtrain
