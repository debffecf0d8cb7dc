// BlockBuffers lends out page-aligned memory for blocks and takes it back for the next ones: a block of 4 MiB that
// came fresh from the kernel each time would cost a tenth of a block's decoding in page faults.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

namespace imgtrain::data {

class BlockBuffers;

// Memory on loan. Move-only; goes back to its BlockBuffers, which must outlive it.
class BlockBuffer {
 public:
  BlockBuffer() = default;
  BlockBuffer(BlockBuffer&& other) noexcept;
  BlockBuffer& operator=(BlockBuffer&& other) noexcept;
  ~BlockBuffer();

  std::byte* data() const { return data_; }
  size_t capacity() const { return capacity_; }

 private:
  friend class BlockBuffers;
  BlockBuffer(BlockBuffers* owner, std::byte* data, size_t capacity)
      : owner_(owner), data_(data), capacity_(capacity) {}
  BlockBuffers* owner_ = nullptr;
  std::byte* data_ = nullptr;
  size_t capacity_ = 0;
};

// Thread-safe.
class BlockBuffers {
 public:
  // Keeps what nobody uses, as long as that and what is lent out are at most `keep_bytes` together.
  explicit BlockBuffers(size_t keep_bytes) : keep_bytes_(keep_bytes) {}
  ~BlockBuffers();
  BlockBuffers(const BlockBuffers&) = delete;
  BlockBuffers& operator=(const BlockBuffers&) = delete;

  BlockBuffer take(size_t bytes);  // Throws std::bad_alloc.
  // What a buffer for `bytes` occupies: the next multiple of 256 KiB.
  static size_t capacity_for(size_t bytes);
  size_t free_bytes() const;  // Kept for the next ones.

 private:
  friend class BlockBuffer;
  void give_back(std::byte* data, size_t capacity) noexcept;
  void shrink_to(size_t free_bytes) noexcept;  // Lets free buffers go. REQUIRES: the mutex is held.

  const size_t keep_bytes_;
  mutable std::mutex mutex_;
  std::map<size_t, std::vector<std::byte*>> free_;  // By capacity.
  size_t free_bytes_ = 0, lent_bytes_ = 0;
};

}  // namespace imgtrain::data
