#include "format/byte_lock.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "format/error.h"

namespace imgpack {
namespace {

class HeldByte : public ByteLock {
 public:
  explicit HeldByte(int descriptor) : descriptor_(descriptor) {}
  ~HeldByte() override { ::close(descriptor_); }
  HeldByte(const HeldByte&) = delete;
  HeldByte& operator=(const HeldByte&) = delete;

 private:
  const int descriptor_;
};

}  // namespace

// A lock of the open file description, which threads of one process exclude each other by as well, on a byte that need
// not exist.
std::unique_ptr<ByteLock> try_lock_byte(const std::filesystem::path& file, uint64_t number) {
  const int descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666);
  if (descriptor < 0)
    throw Error(ErrorKind::kIo, "cannot open the lock file: " + std::generic_category().message(errno), file);
  auto held = std::make_unique<HeldByte>(descriptor);
  struct flock what {};
  what.l_type = F_WRLCK;
  what.l_whence = SEEK_SET;
  what.l_start = static_cast<off_t>(number);
  what.l_len = 1;
  if (::fcntl(descriptor, F_OFD_SETLK, &what) == 0) return held;
  if (errno == EAGAIN || errno == EACCES) return nullptr;
  throw Error(ErrorKind::kIo, "cannot lock: " + std::generic_category().message(errno), file);
}

}  // namespace imgpack
