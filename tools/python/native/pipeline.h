// Pipeline drives a BatchPipeline for Python: any thread, the interpreter's lock released while it waits, signals seen.
//
//   next(): [ wait a little without the lock -> look for signals ] … -> batch: its slot, or a copy where Python keeps
//           so many slots that the pipeline would have none left
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/data/batch_pipeline.h"
#include "tools/python/native/batch_memory.h"
#include "tools/python/native/dataset_binding.h"
#include "tools/python/native/process_guard.h"

namespace imgpack::python {

// What Python gets of a batch. Everything but the images is copied: small, and often kept for long.
struct DeliveredBatch {
  std::shared_ptr<BatchMemory> memory;
  std::vector<int64_t> labels;
  std::vector<uint64_t> ids;
  std::vector<imgtrain::data::BlankBoxes> blanks;
  uint32_t first = 0, count = 0, global_count = 0, size = 0;
  uint64_t epoch = 0, index = 0, order_digest = 0;
  bool copied = false;
  std::vector<std::string> left_out;
};

// All calls REQUIRE the interpreter's lock, and throw Error(kUsage) once it is closed or in a forked child.
class Pipeline {
 public:
  Pipeline(std::shared_ptr<OpenDataset> dataset, const imgtrain::data::PipelineOptions& options);
  ~Pipeline();
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  void start_epoch(uint64_t epoch, uint64_t first_batch, uint32_t size, uint64_t digest);
  // nullopt: the epoch is complete. Throws what the pipeline throws, and nanobind::python_error where a signal's
  // handler raised: nothing is lost then, the next call goes on.
  std::optional<DeliveredBatch> next();
  // Prompt; ends a next() that waits on another thread. Again, or in a forked child: does nothing.
  void close();
  bool closed() const { return closing_; }

  uint64_t batches_per_epoch() const { return batches_per_epoch_; }
  uint64_t samples_per_epoch() const { return samples_per_epoch_; }
  uint32_t threads() const { return threads_; }
  uint64_t batches_copied() const { return batches_copied_; }
  uint32_t slots_held() const { return *held_; }
  imgtrain::data::StageSeconds stage_seconds();
  std::string reading();
  std::vector<std::string> take_notes();

 private:
  // The pipeline, locked. REQUIRES: the interpreter's lock is not held.
  struct Use {
    std::unique_lock<std::mutex> lock;
    imgtrain::data::BatchPipeline& pipeline;
  };
  Use use();
  DeliveredBatch deliver(imgtrain::data::Batch batch, uint64_t digest);

  const ProcessGuard process_;
  const std::shared_ptr<OpenDataset> dataset_;
  const uint32_t slots_;
  const std::shared_ptr<SlotCount> held_;  // Slots that Python keeps.
  std::mutex mutex_;                       // Of the pipeline, which has one consumer.
  std::unique_ptr<imgtrain::data::BatchPipeline> pipeline_;
  std::atomic<bool> closing_{false};
  std::atomic<uint64_t> batches_copied_{0};
  uint64_t batches_per_epoch_ = 0, samples_per_epoch_ = 0;
  uint32_t threads_ = 0;
};

}  // namespace imgpack::python
