#include "engine/data/block_buffers.h"

#include <sys/mman.h>

#include <algorithm>
#include <iterator>
#include <new>
#include <utility>

namespace imgtrain::data {

BlockBuffer::BlockBuffer(BlockBuffer&& other) noexcept {
  *this = std::move(other);
}

BlockBuffer& BlockBuffer::operator=(BlockBuffer&& other) noexcept {
  std::swap(owner_, other.owner_);
  std::swap(data_, other.data_);
  std::swap(capacity_, other.capacity_);
  return *this;
}

BlockBuffer::~BlockBuffer() {
  if (data_ != nullptr) owner_->give_back(data_, capacity_);
}

size_t BlockBuffers::capacity_for(size_t bytes) {
  constexpr size_t kStep = size_t{256} << 10;
  return std::max<size_t>(1, (bytes + kStep - 1) / kStep) * kStep;
}

size_t BlockBuffers::free_bytes() const {
  const std::lock_guard lock(mutex_);
  return free_bytes_;
}

BlockBuffer BlockBuffers::take(size_t bytes) {
  const size_t capacity = capacity_for(bytes);
  {
    const std::lock_guard lock(mutex_);
    const auto found = free_.find(capacity);
    if (found != free_.end() && !found->second.empty()) {
      std::byte* data = found->second.back();
      found->second.pop_back();
      free_bytes_ -= capacity;
      lent_bytes_ += capacity;
      return {this, data, capacity};
    }
    // Free buffers of other sizes make room for this one.
    const size_t taken = lent_bytes_ + capacity;
    shrink_to(keep_bytes_ > taken ? keep_bytes_ - taken : 0);
    lent_bytes_ += capacity;
  }
  // Straight from the kernel, so that what is given back really leaves the process.
  void* memory = mmap(nullptr, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    const std::lock_guard lock(mutex_);
    lent_bytes_ -= capacity;
    throw std::bad_alloc();
  }
  return {this, static_cast<std::byte*>(memory), capacity};
}

void BlockBuffers::give_back(std::byte* data, size_t capacity) noexcept {
  try {
    const std::lock_guard lock(mutex_);
    lent_bytes_ -= capacity;
    if (lent_bytes_ + free_bytes_ + capacity <= keep_bytes_) {
      free_[capacity].push_back(data);
      free_bytes_ += capacity;
      return;
    }
  } catch (const std::bad_alloc&) {
    // No room to remember it: let it go.
  }
  munmap(data, capacity);
}

void BlockBuffers::shrink_to(size_t free_bytes) noexcept {
  while (free_bytes_ > free_bytes) {
    auto last = std::prev(free_.end());
    if (last->second.empty()) {
      free_.erase(last);
      continue;
    }
    munmap(last->second.back(), last->first);
    last->second.pop_back();
    free_bytes_ -= last->first;
  }
}

BlockBuffers::~BlockBuffers() {
  for (const auto& [capacity, buffers] : free_) {
    for (std::byte* data : buffers) munmap(data, capacity);
  }
}

}  // namespace imgtrain::data
