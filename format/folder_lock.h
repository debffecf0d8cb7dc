// A folder that one process at a time writes to. No part of the FileSystem seam: see byte_lock.h.
#pragma once

#include <filesystem>

namespace imgpack {

inline constexpr const char* kLockFile = "build.lock";

// Holds flock() on FOLDER/build.lock and removes the file at the end. A process that is killed leaves the file but no
// lock. Throws Error(kIo) if another process holds it, or if the file cannot be made.
class FolderLock {
 public:
  explicit FolderLock(const std::filesystem::path& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  std::filesystem::path file_;
  int descriptor_ = -1;
};

}  // namespace imgpack
