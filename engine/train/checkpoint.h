// A checkpoint's tensors and state, between the running objects and CheckpointStore's files.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "engine/model/resnet.h"
#include "engine/train/optimizer.h"
#include "engine/train/run/checkpoint_store.h"
#include "engine/train/run/run_state.h"

namespace imgtrain {

// Writes tensors and state as the checkpoint of state.position.step. `weights` and `optimizer` are what state_dict()
// and Optimizer::state() name; `average` is the state_dict() of the weights' average, empty where the run keeps none.
// Throws Error(kIo); earlier checkpoints are then intact.
void write_checkpoint(imgpack::FileSystem& fs, CheckpointStore& store, const RunState& state,
                      const ResNetOptions& model, const NamedTensors& weights, const NamedTensors& optimizer,
                      const NamedTensors& average);

// Puts a checkpoint's tensors into model, optimizer and average (nullptr: the run keeps none) and returns its state.
RunState load_checkpoint(imgpack::FileSystem& fs, const CheckpointStore& store, const CheckpointStore::Found& found,
                         ResNet& model, Optimizer& optimizer, ResNet* average);

// What a weights file says of itself: the model, its classes, its data set, and how images
// were looked at in evaluation (sizes and interpolation). `classes` are the names of their folders, `class_names` those
// for people (empty ones are not known; none at all: not stated).
std::map<std::string, std::string> weights_metadata(const ResNetOptions& model, const RunConfig& config,
                                                    const std::vector<std::string>& classes,
                                                    const std::string& dataset_id,
                                                    const std::vector<std::string>& class_names = {});

// The digest of all parameters and buffers, names included, on any device: equal weights, equal digest.
uint64_t weights_digest(const ResNet& model);

}  // namespace imgtrain
