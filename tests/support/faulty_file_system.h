// A FileSystem that breaks at operation n: the tests' hand in the one I/O seam.
//
//   for every kind of fault, for n = 0, 1, 2 …:  set up, run the action with a fault at operation n, look at what is
//   left
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "format/file.h"
#include "tests/support/memory_file_system.h"

namespace imgpack::test {

enum class Fault {
  kNone,
  kFail,        // The operation does nothing and throws Error(kIo).
  kShortWrite,  // A write stops half way and throws; other operations fail.
  kDiskFull,    // From here on every write stops half way and throws; other operations work.
  kPowerCut,    // From here on nothing works: the process is gone, and what was not synced with it.
};
const char* to_string(Fault fault);

// Counts every call that reaches the disk, of any thread. Thread-safe.
class FaultyFileSystem : public FileSystem {
 public:
  FaultyFileSystem(FileSystem& base, Fault fault, uint64_t at) : base_(base), fault_(fault), at_(at) {}

  std::unique_ptr<RandomAccessFile> open(const std::filesystem::path& path) override;
  std::unique_ptr<WritableFile> create(const std::filesystem::path& path) override;
  void rename(const std::filesystem::path& from, const std::filesystem::path& to) override;
  void remove(const std::filesystem::path& path) override;
  void make_directories(const std::filesystem::path& path) override;
  void link(const std::filesystem::path& existing, const std::filesystem::path& name, LinkKind kind) override;
  void remove_directory(const std::filesystem::path& path) override;
  void sync_directory(const std::filesystem::path& path) override;
  void sync_tree(const std::filesystem::path& folder) override;
  bool exists(const std::filesystem::path& path) override;
  std::vector<DirectoryEntry> list(const std::filesystem::path& path) override;
  uint64_t free_bytes(const std::filesystem::path& path) override;

  uint64_t operations() const { return count_; }
  bool struck() const { return struck_; }  // Whether the fault has happened.

 private:
  class Reader;
  class Writer;

  enum class Step { kGo, kStop, kHalf };
  Step next(bool is_write);  // Counts an operation and says what becomes of it.
  void enter(const char* what, const std::filesystem::path& path);

  FileSystem& base_;
  const Fault fault_;
  const uint64_t at_;
  std::atomic<uint64_t> count_ = 0;
  std::atomic<bool> struck_ = false;
};

// What is to survive. `setup` prepares a fresh disk, `action` is what breaks, `check` looks at the disk afterwards and
// fails the test if it is neither as before, absent nor complete; `done` says whether the action claimed success.
struct FaultTrial {
  std::function<void(MemoryFileSystem&)> setup;
  std::function<void(FileSystem&)> action;
  std::function<void(MemoryFileSystem&, bool done)> check;
};

// Runs the trial for every kind of fault at every operation; after each, checks the disk as it is and as it would be
// after a power cut. Returns how many faults were tried.
uint64_t try_every_fault(const FaultTrial& trial);

}  // namespace imgpack::test
