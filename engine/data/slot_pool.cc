#include "engine/data/slot_pool.h"

#include <new>
#include <utility>

#include "engine/data/batch_pipeline.h"

namespace imgtrain::data {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t aligned(size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

class HeapSlots : public SlotAllocator {
 public:
  void* allocate(size_t bytes) override { return ::operator new (bytes, std::align_val_t{kAlignment}); }
  void release(void* memory, size_t) noexcept override { ::operator delete (memory, std::align_val_t{kAlignment}); }
};

}  // namespace

SlotAllocator& heap_slots() {
  static HeapSlots slots;
  return slots;
}

std::shared_ptr<SlotPool> SlotPool::make(SlotAllocator& allocator, uint32_t slots, uint64_t samples,
                                         uint64_t image_bytes, std::shared_ptr<Signal> signal) {
  const size_t images = aligned(samples * image_bytes), numbers = aligned(samples * sizeof(uint64_t));
  const size_t boxes = aligned(samples * sizeof(BlankBoxes));
  const size_t bytes = images + 2 * numbers + boxes;
  std::shared_ptr<SlotPool> pool(new SlotPool(allocator, bytes, std::move(signal)));
  pool->memory_.reserve(slots);
  for (uint32_t i = 0; i < slots; ++i) {
    pool->memory_.push_back(allocator.allocate(bytes));
    auto* start = static_cast<uint8_t*>(pool->memory_.back());
    pool->slots_.push_back({start, reinterpret_cast<int64_t*>(start + images),
                            reinterpret_cast<uint64_t*>(start + images + numbers),
                            reinterpret_cast<BlankBoxes*>(start + images + 2 * numbers)});
    pool->free_.push_back(i);
  }
  return pool;
}

SlotPool::~SlotPool() {
  for (void* memory : memory_) allocator_.release(memory, slot_bytes_);
}

std::shared_ptr<Slot> SlotPool::try_take() {
  size_t index;
  {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) return nullptr;
    index = free_.back();
    free_.pop_back();
  }
  return {&slots_[index], [pool = shared_from_this(), index](Slot*) { pool->give_back(index); }};
}

void SlotPool::give_back(size_t index) noexcept {
  {
    const std::lock_guard lock(mutex_);
    free_.push_back(index);  // Never grows beyond what make() filled it with.
  }
  signal_->ring();
}

}  // namespace imgtrain::data
