// CheckpointWriter: saves while training goes on.
//
//   save(): wait for the one before -> copy weights and optimizer state aside -> return        (the stall)
//   thread: files written and synced -> checksums -> published -> old ones removed             (beside training)
//
// On CUDA the copy is queued behind the step and runs into page-locked memory; the caller does not wait for it.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <future>
#include <map>
#include <optional>
#include <string>

#include "engine/model/resnet.h"
#include "engine/train/optimizer.h"
#include "engine/train/run/checkpoint_store.h"
#include "engine/train/run/run_state.h"

namespace imgtrain {

// What a finished save took.
struct SavedCheckpoint {
  uint64_t step = 0;
  double stall_seconds = 0;  // Training stood still.
  double write_seconds = 0;  // Until it was on the disk, from then on.
};

// One thread. REQUIRES: model, optimizer and store outlive it, and are on their device when it is made.
class CheckpointWriter {
 public:
  // `average`: state_dict() of the weights' average, empty where the run keeps none.
  CheckpointWriter(imgpack::FileSystem& fs, CheckpointStore& store, const ResNet& model, const Optimizer& optimizer,
                   const NamedTensors& average);
  ~CheckpointWriter();  // Waits for a save in progress. Its failure is lost: call wait() to hear of it.
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  // Saves what model, optimizer and `state` are now. Throws what the save before failed with: Error(kIo).
  void save(const RunState& state);
  // Returns when everything saved is on the disk. Throws what it failed with.
  void wait();
  // The last save that was completed, once.
  std::optional<SavedCheckpoint> take_completed();

 private:
  struct Copy {
    std::string name;
    torch::Tensor source, host;
  };
  static std::vector<Copy> make_copies(const NamedTensors& tensors);
  static NamedTensors host_side(const std::vector<Copy>& copies);

  imgpack::FileSystem& fs_;
  CheckpointStore& store_;
  const ResNet& model_;
  std::vector<Copy> weights_, optimizer_, average_;
  std::future<double> writing_;  // Gives the seconds it took.
  SavedCheckpoint current_;
  std::optional<SavedCheckpoint> completed_;
};

}  // namespace imgtrain
