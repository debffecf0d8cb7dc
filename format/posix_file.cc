// The FileSystem of the operating system: POSIX calls, each retried on EINTR, each failure an Error(kIo) with errno's
// own words.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "format/error.h"
#include "format/file.h"

namespace imgpack {
namespace {

// The kernel moves at most 2^31 - 4096 bytes per call; smaller pieces also keep a signal's latency low.
constexpr size_t kMaxCallBytes = size_t{1} << 30;
// Of reads past the page cache: a multiple of the logical block size of every disk that is sold.
constexpr size_t kDirectAlignment = 4096;

[[noreturn]] void fail(const std::string& what, int error, const std::filesystem::path& path,
                       std::optional<uint64_t> offset = {}) {
  std::string hint;
  if (error == ENOSPC || error == EDQUOT) hint = "free some space or choose another folder, then run the command again";
  if (error == EMFILE || error == ENFILE) hint = "too many open files: raise the limit, for instance `ulimit -n 65536`";
  throw Error(ErrorKind::kIo, what + ": " + std::generic_category().message(error), path, offset, hint);
}

template <typename Call>
auto retry(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

class PosixRandomAccessFile : public RandomAccessFile {
 public:
  PosixRandomAccessFile(int fd, uint64_t size, std::filesystem::path path, size_t alignment)
      : fd_(fd), size_(size), path_(std::move(path)), alignment_(alignment) {}

  size_t read_at(uint64_t offset, std::span<std::byte> out) const override {
    size_t done = 0;
    while (done < out.size()) {
      const size_t want = std::min(out.size() - done, kMaxCallBytes);
      const ssize_t got =
          retry([&] { return ::pread(fd_.get(), out.data() + done, want, static_cast<off_t>(offset + done)); });
      if (got < 0) fail("cannot read", errno, path_, offset + done);
      if (got == 0) break;
      done += static_cast<size_t>(got);
      if (done % alignment_ != 0) break;  // Only the end of the file is not aligned.
    }
    return done;
  }
  uint64_t size() const override { return size_; }
  const std::filesystem::path& path() const override { return path_; }
  size_t alignment() const override { return alignment_; }
  int descriptor() const override { return fd_.get(); }
  void expect_read(uint64_t offset, uint64_t bytes) const override { advise(offset, bytes, POSIX_FADV_WILLNEED); }
  void forget(uint64_t offset, uint64_t bytes) const override { advise(offset, bytes, POSIX_FADV_DONTNEED); }

 private:
  void advise(uint64_t offset, uint64_t bytes, int advice) const {
    static_cast<void>(::posix_fadvise(fd_.get(), static_cast<off_t>(offset), static_cast<off_t>(bytes), advice));
  }

  Descriptor fd_;
  uint64_t size_;
  std::filesystem::path path_;
  size_t alignment_;
};

class PosixWritableFile : public WritableFile {
 public:
  PosixWritableFile(int fd, std::filesystem::path path) : fd_(fd), path_(std::move(path)) {}

  void append(std::span<const std::byte> bytes) override {
    size_t done = 0;
    while (done < bytes.size()) {
      const size_t want = std::min(bytes.size() - done, kMaxCallBytes);
      const ssize_t put = retry([&] { return ::write(fd_.get(), bytes.data() + done, want); });
      if (put < 0) fail("cannot write", errno, path_, written_ + done);
      done += static_cast<size_t>(put);
    }
    written_ += done;
  }
  void sync() override {
    if (retry([&] { return ::fsync(fd_.get()); }) != 0) fail("cannot sync", errno, path_);
  }
  // Not retried on EINTR: Linux has closed the descriptor by then, and its number may already be another file's.
  void close() override {
    if (::close(fd_.release()) != 0 && errno != EINTR) fail("cannot close", errno, path_);
  }

 private:
  Descriptor fd_;
  std::filesystem::path path_;
  uint64_t written_ = 0;
};

// O_NONBLOCK: opening a named pipe must fail in opened(), not wait for a writer.
int open_for_reading(const std::filesystem::path& path, int flags) {
  return retry([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | flags); });
}

std::unique_ptr<RandomAccessFile> opened(Descriptor& fd, const std::filesystem::path& path, size_t alignment) {
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) fail("cannot stat", errno, path);
  if (S_ISDIR(status.st_mode)) throw Error(ErrorKind::kIo, "cannot open: this is a folder, expected a file", path);
  if (!S_ISREG(status.st_mode)) throw Error(ErrorKind::kIo, "cannot open: not a regular file", path);
  return std::make_unique<PosixRandomAccessFile>(fd.release(), static_cast<uint64_t>(status.st_size), path, alignment);
}

class PosixFileSystem : public FileSystem {
 public:
  std::unique_ptr<RandomAccessFile> open(const std::filesystem::path& path) override {
    Descriptor fd(open_for_reading(path, 0));
    if (fd.get() < 0) fail("cannot open", errno, path);
    return opened(fd, path, 1);
  }

  std::unique_ptr<RandomAccessFile> open_direct(const std::filesystem::path& path) override {
    Descriptor fd(open_for_reading(path, O_DIRECT));
    if (fd.get() < 0 && errno == EINVAL) return nullptr;
    if (fd.get() < 0) fail("cannot open", errno, path);
    return opened(fd, path, kDirectAlignment);
  }

  std::unique_ptr<WritableFile> create(const std::filesystem::path& path) override {
    Descriptor fd(
        retry([&] { return ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666); }));
    if (fd.get() < 0) fail("cannot create", errno, path);
    return std::make_unique<PosixWritableFile>(fd.release(), path);
  }

  void rename(const std::filesystem::path& from, const std::filesystem::path& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) fail("cannot rename to " + to.string(), errno, from);
  }

  void remove(const std::filesystem::path& path) override {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) fail("cannot remove", errno, path);
  }

  void make_directories(const std::filesystem::path& path) override {
    std::error_code error;
    std::filesystem::create_directories(path, error);
    if (error) fail("cannot make the folder", error.value(), path);
  }

  void link(const std::filesystem::path& existing, const std::filesystem::path& name, LinkKind kind) override {
    // AT_SYMLINK_FOLLOW: a source that is itself a link gives a second name to its file, not to the link.
    const int failed = kind == LinkKind::kHard
                           ? ::linkat(AT_FDCWD, existing.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW)
                           : ::symlink(existing.c_str(), name.c_str());
    if (failed != 0) fail("cannot link to " + existing.string(), errno, name);
  }

  void remove_directory(const std::filesystem::path& path) override {
    if (::rmdir(path.c_str()) != 0 && errno != ENOENT) fail("cannot remove the folder", errno, path);
  }

  void sync_directory(const std::filesystem::path& path) override {
    const std::filesystem::path folder = path.empty() ? std::filesystem::path(".") : path;
    Descriptor fd(retry([&] { return ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
    if (fd.get() < 0) fail("cannot open the folder", errno, folder);
    if (retry([&] { return ::fsync(fd.get()); }) != 0) fail("cannot sync the folder", errno, folder);
  }

  void sync_tree(const std::filesystem::path& folder) override {
    Descriptor fd(retry([&] { return ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
    if (fd.get() < 0) fail("cannot open the folder", errno, folder);
    if (retry([&] { return ::syncfs(fd.get()); }) != 0) fail("cannot sync the folder", errno, folder);
  }

  bool exists(const std::filesystem::path& path) override {
    struct stat status {};
    if (::stat(path.c_str(), &status) == 0) return true;
    if (errno != ENOENT && errno != ENOTDIR) fail("cannot stat", errno, path);
    return false;
  }

  std::vector<DirectoryEntry> list(const std::filesystem::path& path) override {
    std::error_code error;
    std::vector<DirectoryEntry> entries;
    std::filesystem::directory_iterator it(path, error);
    for (; !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
      // A dangling link is listed as an empty file: opening it will say what is wrong.
      std::error_code missing;
      DirectoryEntry entry{it->path().filename().string(), it->is_directory(missing), 0};
      if (it->is_regular_file(missing)) entry.bytes = it->file_size(missing);
      if (missing) entry.bytes = 0;
      entry.is_link = it->is_symlink(missing);
      entries.push_back(std::move(entry));
    }
    if (error) fail("cannot list the folder", error.value(), path);
    std::sort(entries.begin(), entries.end(),
              [](const DirectoryEntry& a, const DirectoryEntry& b) { return a.name < b.name; });
    return entries;
  }

  uint64_t free_bytes(const std::filesystem::path& path) override {
    struct statvfs status {};
    if (::statvfs(path.c_str(), &status) != 0) fail("cannot ask for free space", errno, path);
    return static_cast<uint64_t>(status.f_bavail) * status.f_frsize;
  }

  bool has_descriptors() const override { return true; }
};

}  // namespace

FileSystem& posix_file_system() {
  static PosixFileSystem fs;
  return fs;
}

}  // namespace imgpack
