// SlotPool owns the batch buffers of a pipeline: allocated once, lent out, taken back.
//
//   slot  | images: samples x size x size x 3 | labels: samples x int64 | ids: samples x uint64 |
//         | boxes to blank |                                                                     each part on 64 bytes
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/data/erase_box.h"
#include "engine/data/signal.h"

namespace imgtrain::data {

class SlotAllocator;

struct Slot {
  uint8_t* images = nullptr;
  int64_t* labels = nullptr;
  uint64_t* ids = nullptr;
  BlankBoxes* blanks = nullptr;
};

// Thread-safe. Lives as long as the pipeline or any slot that is lent out.
class SlotPool : public std::enable_shared_from_this<SlotPool> {
 public:
  // Throws std::bad_alloc. `signal` rings when a slot comes back.
  static std::shared_ptr<SlotPool> make(SlotAllocator& allocator, uint32_t slots, uint64_t samples,
                                        uint64_t image_bytes, std::shared_ptr<Signal> signal);
  ~SlotPool();

  // nullptr: all slots are lent out. Dropping the pointer gives the slot back.
  std::shared_ptr<Slot> try_take();
  size_t slot_bytes() const { return slot_bytes_; }

 private:
  SlotPool(SlotAllocator& allocator, size_t slot_bytes, std::shared_ptr<Signal> signal)
      : allocator_(allocator), slot_bytes_(slot_bytes), signal_(std::move(signal)) {}
  void give_back(size_t index) noexcept;

  SlotAllocator& allocator_;
  const size_t slot_bytes_;
  const std::shared_ptr<Signal> signal_;
  std::vector<void*> memory_;
  std::vector<Slot> slots_;
  std::mutex mutex_;
  std::vector<size_t> free_;
};

}  // namespace imgtrain::data
