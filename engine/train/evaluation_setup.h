// What an evaluation of given weights stands on: the weights found, their model on its device, the data set, and the
// options that hold for both.
#pragma once

#include <torch/torch.h>

#include <memory>
#include <optional>
#include <string>

#include "engine/model/resnet.h"
#include "engine/train/data_parallel.h"
#include "engine/train/evaluation_detail.h"
#include "engine/train/trainer.h"
#include "format/dataset.h"

namespace imgtrain {

struct OpenedEvaluation {
  EvaluateOutcome outcome;  // All that is known before anything is evaluated.
  imgpack::Dataset dataset;
  torch::Device device;
  std::unique_ptr<GradientSync> sync;
  ResNet model{nullptr};
};

// Throws as evaluate() does.
OpenedEvaluation open_evaluation(imgpack::FileSystem& fs, const EvaluateRequest& request, RunListener& listener);

// The label set `real` of the split; nullopt: the data set has none.
std::optional<RealLabels> real_labels(imgpack::FileSystem& fs, const imgpack::Dataset& dataset,
                                      const std::string& split);

}  // namespace imgtrain
