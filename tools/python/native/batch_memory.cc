#include "tools/python/native/batch_memory.h"

#include <algorithm>
#include <utility>

namespace imgpack::python {

using imgtrain::data::Batch;

std::shared_ptr<BatchMemory> BatchMemory::keep(Batch batch, std::shared_ptr<SlotCount> held) {
  std::shared_ptr<BatchMemory> memory(new BatchMemory);
  // The pipeline has nothing to do with the memory until it comes back, so that its holder may write there.
  memory->images_ = const_cast<uint8_t*>(batch.images);
  memory->slot_ = std::make_unique<std::shared_ptr<void>>(std::move(batch.slot));
  memory->held_ = std::move(held);
  ++*memory->held_;
  return memory;
}

std::shared_ptr<BatchMemory> BatchMemory::copy(const Batch& batch) {
  std::shared_ptr<BatchMemory> memory(new BatchMemory);
  const size_t bytes = size_t{batch.count} * batch.size * batch.size * 3;
  memory->copied_ = std::unique_ptr<uint8_t[]>(new uint8_t[std::max<size_t>(bytes, 1)]);
  memory->images_ = memory->copied_.get();
  std::copy_n(batch.images, bytes, memory->images_);
  return memory;
}

BatchMemory::~BatchMemory() {
  if (held_ == nullptr) return;
  if (process_.inherited()) {
    // Giving the slot back takes a lock that may have been held when this process was forked.
    static_cast<void>(slot_.release());
    return;
  }
  slot_.reset();
  --*held_;
}

}  // namespace imgpack::python
