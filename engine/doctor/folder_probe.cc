// How fast a folder's disk writes and reads, within a few seconds and a few hundred MiB.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <random>

#include "engine/doctor/probe.h"

namespace imgtrain::doctor {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kChunk = size_t{4} << 20;
constexpr double kMib = 1024.0 * 1024.0;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return number_; }
  bool open() const { return number_ >= 0; }

 private:
  int number_;
};

// Of statfs(2); names as mount(8) has them.
std::string file_system_name(uint64_t magic) {
  switch (magic) {
    case 0xEF53:
      return "ext4";
    case 0x58465342:
      return "xfs";
    case 0x9123683E:
      return "btrfs";
    case 0x01021994:
      return "tmpfs";
    case 0x794C7630:
      return "overlay";
    case 0x6969:
      return "nfs";
    case 0x65735546:
      return "fuse";
    case 0x0BD00BD0:
      return "lustre";
    case 0x2FC12FC1:
      return "zfs";
    default:
      return "";
  }
}

struct Buffer {
  Buffer() : bytes(static_cast<std::byte*>(std::aligned_alloc(4096, kChunk)), std::free) {
    if (!bytes) throw std::bad_alloc();
    // No two chunks of a disk that compresses or deduplicates are to be cheap.
    std::mt19937_64 random(1);
    for (size_t at = 0; at < kChunk; at += sizeof(uint64_t)) {
      const uint64_t value = random();
      std::memcpy(bytes.get() + at, &value, sizeof(value));
    }
  }
  std::unique_ptr<std::byte, void (*)(void*)> bytes;
};

// All of a chunk. A short write is no error yet: the next one says why. False: errno has it.
bool write_chunk(int file, const std::byte* bytes) {
  for (size_t done = 0; done < kChunk;) {
    const ssize_t written = write(file, bytes + done, kChunk - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    done += static_cast<size_t>(written);
  }
  return true;
}

// Bytes written and synced; nullopt: it failed, and errno says why.
std::optional<uint64_t> write_file(int file, Buffer& buffer, uint64_t bytes, double most_seconds, double& seconds) {
  const Clock::time_point start = Clock::now();
  uint64_t done = 0;
  while (done + kChunk <= bytes && seconds_since(start) < most_seconds) {
    std::memcpy(buffer.bytes.get(), &done, sizeof(done));
    if (!write_chunk(file, buffer.bytes.get())) return std::nullopt;
    done += kChunk;
    // What waits in memory would make the last sync last longer than the limit.
    if (done % (kChunk * 8) == 0 && fdatasync(file) != 0) return std::nullopt;
  }
  if (fsync(file) != 0) return std::nullopt;
  seconds = seconds_since(start);
  return done;
}

// Past the page cache where the file system can; `path` is opened anew for that.
void read_file(const std::string& path, Buffer& buffer, const FolderProbe& how, FolderFacts& facts) {
  Descriptor direct(open(path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
  Descriptor plain(direct.open() ? -1 : open(path.c_str(), O_RDONLY | O_CLOEXEC));
  const int file = direct.open() ? direct.get() : plain.get();
  if (file < 0) return;
  facts.past_cache = direct.open();
  if (!facts.past_cache) posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
  const Clock::time_point start = Clock::now();
  uint64_t done = 0;
  while (done < how.bytes && seconds_since(start) < std::chrono::duration<double>(how.most).count()) {
    const ssize_t got = pread(file, buffer.bytes.get(), kChunk, static_cast<off_t>(done));
    if (got <= 0) break;
    done += static_cast<uint64_t>(got);
    if (static_cast<size_t>(got) < kChunk) break;
  }
  if (done > 0) facts.read_mib_s = static_cast<double>(done) / kMib / std::max(seconds_since(start), 1e-6);
}

std::string largest_file(const std::filesystem::path& folder) {
  std::string path;
  uintmax_t most = 0;
  std::error_code failure;
  for (std::filesystem::directory_iterator at(folder, failure), end; !failure && at != end; at.increment(failure)) {
    std::error_code unreadable;
    const uintmax_t size = at->is_regular_file(unreadable) ? at->file_size(unreadable) : 0;
    if (!unreadable && size > most) {
      most = size;
      path = at->path().string();
    }
  }
  return path;
}

}  // namespace

FolderFacts probe_folder(const std::filesystem::path& folder, const FolderProbe& how) {
  FolderFacts facts;
  facts.path = folder.string();
  struct stat status {};
  if (stat(folder.c_str(), &status) != 0) {
    facts.error = std::strerror(errno);
    return facts;
  }
  if (!S_ISDIR(status.st_mode)) {
    facts.error = "is not a folder";
    return facts;
  }
  struct statvfs space {};
  if (statvfs(folder.c_str(), &space) == 0) facts.free_bytes = uint64_t{space.f_bavail} * space.f_frsize;
  struct statfs kind {};
  if (statfs(folder.c_str(), &kind) == 0) facts.file_system = file_system_name(static_cast<uint64_t>(kind.f_type));
  Buffer buffer;
  std::string name = (folder / ".doctor-XXXXXX").string();
  const Descriptor file(mkostemp(name.data(), O_CLOEXEC));
  if (!file.open()) {
    if (const std::string path = largest_file(folder); !path.empty()) read_file(path, buffer, how, facts);
    return facts;
  }
  // Without a name it ends with this process, whatever happens.
  unlink(name.c_str());
  facts.writable = true;
  const uint64_t bytes = std::min(how.bytes, facts.free_bytes / 10);
  double seconds = 0;
  const std::optional<uint64_t> written =
      write_file(file.get(), buffer, bytes, std::chrono::duration<double>(how.most).count(), seconds);
  if (!written) facts.write_error = std::strerror(errno);
  if (written.value_or(0) == 0) return facts;
  facts.write_mib_s = static_cast<double>(*written) / kMib / std::max(seconds, 1e-6);
  read_file("/proc/self/fd/" + std::to_string(file.get()), buffer, how, facts);
  return facts;
}

}  // namespace imgtrain::doctor
