// BatchPipeline: shards in, uint8 NHWC batches out, decoded by TBB threads ahead of the consumer.
//
//   SampleOrder -> BlockReader (reader thread) -> decode + augment (TBB arena) -> Slot -> consumer -> empty Slot back
//
// Memory is bounded: `slots` batch buffers allocated once through a SlotAllocator (pinned memory on CUDA), and the
// blocks of the windows in flight. No processes, no shared memory segments.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/data/augment.h"
#include "engine/data/sample_order.h"
#include "format/dataset.h"
#include "format/file.h"
#include "format/jpeg/image_decoder.h"

namespace imgtrain::data {

// Where slot memory comes from. Called from the constructing thread only.
class SlotAllocator {
 public:
  virtual ~SlotAllocator() = default;
  virtual void* allocate(size_t bytes) = 0;  // Aligned to 64 bytes. Throws std::bad_alloc.
  virtual void release(void* memory, size_t bytes) noexcept = 0;
};
SlotAllocator& heap_slots();

enum class Transform { kTrain, kEvaluate };  // RandomResizedCrop + flip; resize + centre crop.

struct PipelineOptions {
  std::string split = "train";
  Transform transform = Transform::kTrain;
  uint32_t size = 224;          // Output is size x size.
  uint32_t resize_short = 256;  // kEvaluate.
  RandomResizedCropOptions crop;
  imgpack::jpeg::Filter filter = imgpack::jpeg::Filter::kBilinear;
  uint64_t seed = 0;
  uint32_t threads = 0;   // 0: all cores this process may use.
  uint32_t slots = 3;     // Batches in flight.
  uint32_t bn_group = 0;  // Samples that stay together on one rank (see local_range); 0: 1.
  uint32_t rank = 0, world = 1;
  SampleOrderOptions order;  // order.batch is the global batch. kEvaluate: record order, every sample once.
  bool reference_decoder = false;
};

// A filled batch. Moving it is cheap; destroying or release()-ing it hands the slot back. Belongs to one thread.
struct Batch {
  const uint8_t* images = nullptr;  // count x size x size x 3
  const int64_t* labels = nullptr;  // count
  const uint64_t* ids = nullptr;    // count
  uint32_t count = 0;               // Of this rank; may differ between ranks and in the last batch.
  uint32_t global_count = 0;        // Of all ranks together.
  uint32_t size = 0;
  uint64_t epoch = 0, index = 0;    // Global batch number within the epoch.
  std::shared_ptr<void> slot;       // Owns the memory above.
};

// Seconds summed over threads, since the epoch began.
struct StageSeconds {
  double read = 0, decode = 0, wait_for_slot = 0, wait_for_batch = 0;  // The last one: the consumer starving.
  uint64_t bytes_read = 0, fast_path = 0, reference_path = 0;
};

// One consumer thread. Throws what a worker threw, with the sample's name; afterwards the pipeline is stopped.
class BatchPipeline {
 public:
  BatchPipeline(imgpack::FileSystem& fs, const imgpack::Dataset& dataset, const PipelineOptions& options,
                SlotAllocator& slots = heap_slots());
  ~BatchPipeline();  // Prompt: cancels what is in flight.

  uint64_t batches_per_epoch() const;
  uint64_t samples_per_epoch() const;
  // Begins at `first_batch` of `epoch`; O(1) in `first_batch`. Cancels an epoch in progress.
  void start_epoch(uint64_t epoch, uint64_t first_batch = 0);
  std::optional<Batch> next();  // nullopt: the epoch is complete.
  StageSeconds stage_seconds() const;
  // Digest of (id, label) of every sample delivered so far to all ranks of this epoch; the proof of order.
  uint64_t order_digest() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace imgtrain::data
