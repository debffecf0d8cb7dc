// From a run configuration to the options of the input pipelines.
#pragma once

#include <string>

#include "engine/data/batch_pipeline.h"
#include "engine/train/run/run_config.h"
#include "format/dataset.h"

namespace imgtrain {

struct Share {
  int rank = 0, world = 1;
  int numa_node = -1;  // Of this rank's GPU; -1: none, or not known.
};

data::PipelineOptions training_input(const RunConfig& config, const Share& share);
data::PipelineOptions evaluation_input(const RunConfig& config, const std::string& split, const Share& share);

// The split, if it can be trained on or measured with. Throws Error(kInvalidInput): no such split (listing those there
// are), no records, no labels.
const imgpack::SplitView& require_labeled(const imgpack::Dataset& dataset, const std::string& split);

// Folder names of the classes; position = label.
std::vector<std::string> class_names(const imgpack::Dataset& dataset);

}  // namespace imgtrain
