// The memory of a batch's images while Python looks into it: a pipeline's slot, or a copy of one.
//
//   arrays and tensors --reference counts--> BatchMemory --> slot, which goes back when the last of them is gone
//
// So whoever keeps a tensor keeps its pixels. A slot is filled anew only after it went back.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "engine/data/batch_pipeline.h"
#include "tools/python/native/process_guard.h"

namespace imgpack::python {

using SlotCount = std::atomic<uint32_t>;

// May outlive the pipeline, and be destroyed on any thread.
class BatchMemory {
 public:
  // Looks into the batch's slot, and counts as one in `held` as long as it lives.
  static std::shared_ptr<BatchMemory> keep(imgtrain::data::Batch batch, std::shared_ptr<SlotCount> held);
  // Copies the images; the slot goes back with the batch.
  static std::shared_ptr<BatchMemory> copy(const imgtrain::data::Batch& batch);
  ~BatchMemory();
  BatchMemory(const BatchMemory&) = delete;
  BatchMemory& operator=(const BatchMemory&) = delete;

  uint8_t* images() const { return images_; }

 private:
  BatchMemory() = default;

  uint8_t* images_ = nullptr;
  std::unique_ptr<uint8_t[]> copied_;
  std::unique_ptr<std::shared_ptr<void>> slot_;  // nullptr: the images are a copy.
  std::shared_ptr<SlotCount> held_;
  ProcessGuard process_;
};

}  // namespace imgpack::python
