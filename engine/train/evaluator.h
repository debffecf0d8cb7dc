// Exact evaluation: every sample of a split once, on any number of ranks, and the count is checked.
#pragma once

#include <torch/torch.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/data/batch_pipeline.h"
#include "engine/model/resnet.h"
#include "engine/train/batch_feed.h"
#include "engine/train/data_parallel.h"
#include "engine/train/evaluation_detail.h"
#include "engine/train/run/metrics.h"
#include "engine/train/run/run_config.h"
#include "engine/train/run/run_listener.h"
#include "format/dataset.h"

namespace imgtrain {

// How images are looked at: short side resized to `resize`, centre crop of `size`.
struct EvaluationView {
  int64_t size = 224, resize = 256;
};

struct ViewResult {
  EvaluationView view;
  Totals totals;
  std::vector<ClassCount> classes;
  RealTotals real;  // Of no images where there are no ReaL labels.
};

// What the model says of normalised images (PixelNormalizer), in the configuration's precision; with eval_flip the mean
// over an image and its mirror image. REQUIRES: the model is in evaluation mode; gradients are off where none are
// wanted.
torch::Tensor evaluation_logits(ResNet& model, torch::Tensor images, torch::Device device, const RunConfig& config);

// Keeps its input pipelines between evaluations. One thread.
class Evaluator {
 public:
  // Looks at images as the configuration says. Throws Error(kInvalidInput) where the split is missing, empty or has no
  // labels.
  Evaluator(imgpack::FileSystem& fs, const imgpack::Dataset& dataset, const std::string& split, const RunConfig& config,
            torch::Device device, GradientSync& sync);

  // Resize to eval_resize, centre crop of eval_size; cross-entropy without smoothing, as a mean per sample. Loss and
  // accuracies of all ranks together. nullopt: the listener asked to stop. Throws Error(kInternal) if the samples seen
  // are not exactly those of the split.
  std::optional<Totals> run(ResNet& model, RunListener& listener);

  // Several views in one pass: every batch is looked at in each of them before the next, so that its shards are read
  // from the disk once. `real` may be null. `predictions`, if it is not, is given a row for every image that this rank
  // saw, in the first view (32 bytes each). nullopt and errors as above.
  std::optional<std::vector<ViewResult>> run(ResNet& model, RunListener& listener,
                                             const std::vector<EvaluationView>& views, const RealLabels* real,
                                             std::vector<Prediction>* predictions = nullptr);

  uint64_t images() const { return images_; }

 private:
  // What a view needs of its own.
  struct Looking {
    Looking(imgpack::FileSystem& fs, const imgpack::Dataset& dataset, const data::PipelineOptions& options,
            data::SlotAllocator& slots, torch::Device device);
    data::BatchPipeline pipeline;
    BatchFeed feed;
    PixelNormalizer normalizer;
  };
  std::unique_ptr<Looking> look(const EvaluationView& view);

  imgpack::FileSystem& fs_;
  const imgpack::Dataset& dataset_;
  std::string split_;
  RunConfig config_;
  torch::Device device_;
  GradientSync& sync_;
  const imgpack::SplitView& view_;
  uint64_t images_;
  std::shared_ptr<data::SlotAllocator> slots_;
  std::unique_ptr<Looking> own_;  // The configuration's view.
};

}  // namespace imgtrain
