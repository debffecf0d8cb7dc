#include "format/folder_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "format/error.h"

namespace imgpack {

// Locks are no part of the FileSystem seam: they are the operating system's and end with the process.
FolderLock::FolderLock(const std::filesystem::path& folder) : file_(folder / kLockFile) {
  while (true) {
    descriptor_ = ::open(file_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (descriptor_ < 0) {
      throw Error(ErrorKind::kIo, "cannot make the lock file: " + std::generic_category().message(errno), file_);
    }
    if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
      const int reason = errno;
      ::close(descriptor_);
      if (reason == EINTR) continue;
      const bool taken = reason == EWOULDBLOCK;
      throw Error(ErrorKind::kIo,
                  taken ? "another build or pull is writing to this folder"
                        : "cannot lock: " + std::generic_category().message(reason),
                  folder, {}, taken ? "wait for it to end, or choose another folder" : "");
    }
    // The one who held the lock before may have removed the file: then this is a lock on nothing.
    struct stat mine {
    }, there{};
    if (::fstat(descriptor_, &mine) == 0 && ::stat(file_.c_str(), &there) == 0 && mine.st_ino == there.st_ino &&
        mine.st_dev == there.st_dev) {
      return;
    }
    ::close(descriptor_);
  }
}

FolderLock::~FolderLock() {
  ::unlink(file_.c_str());
  ::close(descriptor_);
}

}  // namespace imgpack
