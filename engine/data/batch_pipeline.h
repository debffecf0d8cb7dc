// BatchPipeline: shards in, uint8 NHWC batches out, decoded by TBB threads ahead of the consumer.
//
//   SampleOrder -> BatchPlanner -> BlockReader (reader threads) -> decode + augment (TBB arena) -> Slot -> consumer
//                                                                                                 ^----- empty slot
//                                                                                                 ---'
//
// Memory is bounded: `slots` batch buffers allocated once through a SlotAllocator (pinned memory on CUDA), and the
// blocks of the windows in flight. No processes, no shared memory segments.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/data/augment.h"
#include "engine/data/augment_policy.h"
#include "engine/data/block_reader.h"
#include "engine/data/cache_policy.h"
#include "engine/data/erase_box.h"
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
  double crop_ratio = 0;  // kEvaluate: above 0, the middle square of this share of the short side instead.
  imgpack::jpeg::Filter filter = imgpack::jpeg::Filter::kBilinear;
  bool random_filter = false;  // kTrain: bilinear or bicubic, drawn for each sample.
  // kTrain, in this order after crop and flip: colour jitter, policy; boxes are handed on with the batch.
  ColourJitter jitter;
  AugmentPolicy policy;
  RandomErasingOptions erasing;
  double cutout = 0;  // Side as a share of the image's.
  uint64_t seed = 0;
  uint32_t threads = 0;   // 0: all cores this process may use.
  int numa_node = -1;     // Where threads and slots stay: the node of this rank's GPU. -1: anywhere, an arena per node.
  uint32_t slots = 3;     // Batches in flight.
  uint32_t bn_group = 0;  // Samples that stay together on one rank (see local_range); 0: 1.
  uint32_t rank = 0, world = 1;
  SampleOrderOptions order;  // order.batch is the global batch. kEvaluate: record order, every sample once.
  bool reference_decoder = false;
  ReadBackend read_backend = ReadBackend::kAuto;
  uint32_t read_threads = 4;  // Where there is no io_uring.
  CacheMode cache = CacheMode::kAuto;
  // Blocks read ahead of need, beyond those of the windows in use (order.window_blocks of each partition).
  uint64_t read_ahead_bytes = 32ull << 20;
  // Damaged records of an epoch that may be left out of their batches; one more ends the run. 0: the first one does.
  uint64_t max_bad_records = 0;
  // Folder on a faster disk that whole shards are copied to while they are first read (see local_copy.h). Empty: none.
  std::filesystem::path local_copy;
};

// A filled batch. Moving it is cheap; destroying or release()-ing it hands the slot back. Belongs to one thread; may
// outlive the pipeline.
struct Batch {
  const uint8_t* images = nullptr;     // count x size x size x 3
  const int64_t* labels = nullptr;     // count
  const uint64_t* ids = nullptr;       // count
  const BlankBoxes* blanks = nullptr;  // count: what is to be blanked once pixels are normalised.
  uint32_t first = 0;                  // Position of this rank's first sample in the global batch.
  uint32_t count = 0;                  // Of this rank; may differ between ranks and in the last batch.
  uint32_t global_count = 0;           // Of all ranks together, as planned: damaged records that were left out count.
  uint32_t size = 0;
  uint64_t epoch = 0, index = 0;  // Global batch number within the epoch.
  // What was wrong with each record of this rank that was left out (PipelineOptions::max_bad_records), in batch order.
  std::vector<std::string> left_out;
  std::shared_ptr<void> slot;  // Owns the memory above.

  void release() { *this = Batch(); }
};

// Since the epoch began.
struct StageSeconds {
  double read = 0;            // During which at least one read was in progress.
  double check = 0;           // Checksums and index rows, summed over threads.
  double augment = 0;         // Crop boxes and flips, summed over threads; resizing is part of decoding.
  double decode = 0;          // The rest of what threads did: JPEG to the resized pixels of the window.
  double wait_for_slot = 0;   // Batches waiting for an empty slot: the consumer is the slower one.
  double wait_for_read = 0;   // Decoders fed as far as the disk has delivered.
  double wait_for_batch = 0;  // The consumer starving.
  uint64_t bytes_read = 0, fast_path = 0, reference_path = 0, left_out = 0;
};

// What may differ from epoch to epoch.
struct EpochSettings {
  uint32_t size = 0;    // Output size, at most PipelineOptions::size; 0: that one. For progressive resizing.
  uint64_t digest = 0;  // order_digest() at the point of resuming; 0 at the start of an epoch.
};

// One consumer thread; several pipelines may live in one process.
//
// A failure reaches the consumer in its place: batches before it are delivered, then next() throws what the worker
// threw, with the sample's name. From then on next() throws the same again; start_epoch() begins anew. Where damaged
// records may be left out, a batch closes up without them; they are never replaced, and a disk that fails always
// throws.
class BatchPipeline {
 public:
  // `fs`, `dataset` and `slots` must outlive the pipeline; `slots` also its batches. Throws Error(kUsage) for options
  // out of range, Error(kInvalidInput) for a split that is not there.
  BatchPipeline(imgpack::FileSystem& fs, const imgpack::Dataset& dataset, const PipelineOptions& options,
                SlotAllocator& slots = heap_slots());
  ~BatchPipeline();  // Prompt: cancels what is in flight. At most one image a thread and one read are waited for.
  BatchPipeline(const BatchPipeline&) = delete;
  BatchPipeline& operator=(const BatchPipeline&) = delete;

  uint64_t batches_per_epoch() const;
  uint64_t samples_per_epoch() const;
  // Begins at `first_batch` of `epoch`; O(1) in `first_batch`. Cancels an epoch in progress.
  void start_epoch(uint64_t epoch, uint64_t first_batch = 0, const EpochSettings& settings = {});
  // nullopt: the epoch is complete. REQUIRES: start_epoch() was called; at least one slot is not held by the caller.
  std::optional<Batch> next();
  // Waits up to `patience`; true: next() would not wait. For consumers that must look elsewhere meanwhile (at signals).
  bool wait_for_next(std::chrono::milliseconds patience);
  StageSeconds stage_seconds() const;
  // Digest of (id, label) of every sample delivered so far to all ranks of this epoch; the proof of order. The same on
  // every rank, and whether or not the epoch was interrupted and resumed with EpochSettings::digest.
  uint64_t order_digest() const;
  uint32_t threads() const;
  // How shards are read, for people: `io_uring, page cache: keep (9.8 GiB of shards, 60 GiB of memory available: …)`.
  std::string reading() const;
  // Upper bound of what blocks may occupy at once, beside the slots and the decoders' scratch memory.
  uint64_t block_memory_bytes() const;
  // What people should be told since the last call: the local copy is complete, full, or could not be made.
  std::vector<std::string> take_notes();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace imgtrain::data
