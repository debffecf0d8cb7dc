// BatchFeed: host batches onto the device, one ahead of the computation.
//
//   BatchPipeline -> Batch (page-locked slot) --copy stream--> device buffer --PixelNormalizer--> model
//
// Images travel as bytes, a quarter of what they are as floats, and become numbers on the device. On the CPU the
// tensors look into the slot itself. One consumer thread.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/data/batch_pipeline.h"

namespace imgtrain {

// A batch on the device. Valid until the next call of next() or start_epoch().
struct DeviceBatch {
  torch::Tensor images;           // uint8, count x size x size x 3; undefined where this rank has no samples.
  torch::Tensor labels;           // int64, count.
  const uint64_t* ids = nullptr;  // Of the samples, count of them, on the host.
  const data::BlankBoxes* blanks = nullptr;  // Of every image, on the host; nullptr: none.
  int64_t first = 0;                         // Position of this rank's first sample in the global batch.
  int64_t count = 0;                         // Of this rank.
  int64_t global_count = 0;                  // Of all ranks together.
  uint64_t index = 0;                        // Global batch number within the epoch.
  uint64_t order_digest = 0;                 // Of the epoch up to and with this batch.
  std::vector<std::string> left_out;         // What was wrong with each damaged record of this rank that is not in it.
};

class BatchFeed {
 public:
  // REQUIRES: the pipeline outlives this; its slots are page-locked where `device` is CUDA.
  BatchFeed(data::BatchPipeline& pipeline, torch::Device device);
  ~BatchFeed();

  void start_epoch(uint64_t epoch, uint64_t first_batch = 0, const data::EpochSettings& settings = {});
  std::optional<DeviceBatch> next();  // nullopt: the epoch is complete. Throws what the pipeline throws.
  // Queues the copy of the next batch beside the work that is queued on the current one. Call when that is queued: it
  // may wait for the input side. Does nothing on the CPU.
  void prefetch();
  // Of copies to the device that are complete, since the feed was made. 0 on the CPU, which copies nothing.
  double copy_seconds() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// uint8 N x H x W x 3 -> numbers, N x 3 x H x W in channels_last: (value / 255 - mean) / std with ImageNet's constants.
// One thread.
class PixelNormalizer {
 public:
  // `type`: of the result, kFloat or kDouble.
  explicit PixelNormalizer(torch::Device device, torch::Dtype type = torch::kFloat);
  torch::Tensor operator()(const torch::Tensor& images);

 private:
  torch::Tensor scale_, shift_;          // 3
  torch::Tensor row_scale_, row_shift_;  // The same repeated along an image row: long vectors instead of triples.
};

}  // namespace imgtrain
