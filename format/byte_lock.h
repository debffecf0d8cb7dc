// Locks among threads and processes of one machine, as many as one wants in one file. No part of the FileSystem seam:
// they are the operating system's and end with the process, however it ends.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

namespace imgpack {

class ByteLock {
 public:
  virtual ~ByteLock() = default;  // Unlocks.
};

// Lock `number` of the file (made if it is not there), against every other holder, in this process too. nullptr:
// another has it. Throws Error(kIo).
std::unique_ptr<ByteLock> try_lock_byte(const std::filesystem::path& file, uint64_t number);

}  // namespace imgpack
