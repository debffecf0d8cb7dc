#include "engine/data/block_buffers.h"

#include <sys/mman.h>

#include <algorithm>
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

BlockBuffer BlockBuffers::take(size_t bytes) {
  const size_t capacity = capacity_for(bytes);
  {
    const std::lock_guard lock(mutex_);
    const auto found = free_.find(capacity);
    if (found != free_.end() && !found->second.empty()) {
      std::byte* data = found->second.back();
      found->second.pop_back();
      free_bytes_ -= capacity;
      return {this, data, capacity};
    }
  }
  // Straight from the kernel, so that what is given back really leaves the process.
  void* memory = mmap(nullptr, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  return {this, static_cast<std::byte*>(memory), capacity};
}

void BlockBuffers::give_back(std::byte* data, size_t capacity) noexcept {
  try {
    const std::lock_guard lock(mutex_);
    if (free_bytes_ + capacity <= keep_bytes_) {
      free_[capacity].push_back(data);
      free_bytes_ += capacity;
      return;
    }
  } catch (const std::bad_alloc&) {
    // No room to remember it: let it go.
  }
  munmap(data, capacity);
}

BlockBuffers::~BlockBuffers() {
  for (const auto& [capacity, buffers] : free_) {
    for (std::byte* data : buffers) munmap(data, capacity);
  }
}

}  // namespace imgtrain::data
