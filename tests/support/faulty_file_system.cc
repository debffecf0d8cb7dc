#include "tests/support/faulty_file_system.h"

#include <gtest/gtest.h>

#include "format/error.h"

namespace imgpack::test {
namespace {

[[noreturn]] void fail(const char* what, const std::filesystem::path& path) {
  throw Error(ErrorKind::kIo, std::string("cannot ") + what + ": injected fault", path);
}

}  // namespace

const char* to_string(Fault fault) {
  switch (fault) {
    case Fault::kNone:
      return "none";
    case Fault::kFail:
      return "fail";
    case Fault::kShortWrite:
      return "short write";
    case Fault::kDiskFull:
      return "disk full";
    case Fault::kPowerCut:
      return "power cut";
  }
  return "?";
}

FaultyFileSystem::Step FaultyFileSystem::next(bool is_write) {
  const uint64_t n = count_++;
  if (fault_ == Fault::kNone || n < at_) return Step::kGo;
  switch (fault_) {
    case Fault::kFail:
    case Fault::kShortWrite:
      if (n != at_) return Step::kGo;
      struck_ = true;
      return fault_ == Fault::kShortWrite && is_write ? Step::kHalf : Step::kStop;
    case Fault::kDiskFull:
      if (!is_write) return Step::kGo;
      struck_ = true;
      return Step::kHalf;
    default:
      struck_ = true;
      return n == at_ && is_write ? Step::kHalf : Step::kStop;
  }
}

void FaultyFileSystem::enter(const char* what, const std::filesystem::path& path) {
  if (next(false) != Step::kGo) fail(what, path);
}

class FaultyFileSystem::Reader : public RandomAccessFile {
 public:
  Reader(FaultyFileSystem& fs, std::unique_ptr<RandomAccessFile> base) : fs_(fs), base_(std::move(base)) {}
  size_t read_at(uint64_t offset, std::span<std::byte> out) const override {
    fs_.enter("read", base_->path());
    return base_->read_at(offset, out);
  }
  uint64_t size() const override { return base_->size(); }
  const std::filesystem::path& path() const override { return base_->path(); }

 private:
  FaultyFileSystem& fs_;
  std::unique_ptr<RandomAccessFile> base_;
};

class FaultyFileSystem::Writer : public WritableFile {
 public:
  Writer(FaultyFileSystem& fs, std::unique_ptr<WritableFile> base, std::filesystem::path path)
      : fs_(fs), base_(std::move(base)), path_(std::move(path)) {}
  void append(std::span<const std::byte> bytes) override {
    const Step step = fs_.next(true);
    if (step == Step::kHalf) base_->append(bytes.first(bytes.size() / 2));
    if (step != Step::kGo) fail("write", path_);
    base_->append(bytes);
  }
  void sync() override {
    fs_.enter("sync", path_);
    base_->sync();
  }
  void close() override {
    fs_.enter("close", path_);
    base_->close();
  }

 private:
  FaultyFileSystem& fs_;
  std::unique_ptr<WritableFile> base_;
  std::filesystem::path path_;
};

std::unique_ptr<RandomAccessFile> FaultyFileSystem::open(const std::filesystem::path& path) {
  enter("open", path);
  return std::make_unique<Reader>(*this, base_.open(path));
}

std::unique_ptr<WritableFile> FaultyFileSystem::create(const std::filesystem::path& path) {
  enter("create", path);
  return std::make_unique<Writer>(*this, base_.create(path), path);
}

void FaultyFileSystem::rename(const std::filesystem::path& from, const std::filesystem::path& to) {
  enter("rename", from);
  base_.rename(from, to);
}

void FaultyFileSystem::remove(const std::filesystem::path& path) {
  enter("remove", path);
  base_.remove(path);
}

void FaultyFileSystem::make_directories(const std::filesystem::path& path) {
  enter("make the folder", path);
  base_.make_directories(path);
}

void FaultyFileSystem::link(const std::filesystem::path& existing, const std::filesystem::path& name, LinkKind kind) {
  enter("link", name);
  base_.link(existing, name, kind);
}

void FaultyFileSystem::remove_directory(const std::filesystem::path& path) {
  enter("remove the folder", path);
  base_.remove_directory(path);
}

void FaultyFileSystem::sync_tree(const std::filesystem::path& folder) {
  enter("sync the folder", folder);
  base_.sync_tree(folder);
}

void FaultyFileSystem::sync_directory(const std::filesystem::path& path) {
  enter("sync the folder", path);
  base_.sync_directory(path);
}

bool FaultyFileSystem::exists(const std::filesystem::path& path) {
  enter("stat", path);
  return base_.exists(path);
}

std::vector<DirectoryEntry> FaultyFileSystem::list(const std::filesystem::path& path) {
  enter("list", path);
  return base_.list(path);
}

uint64_t FaultyFileSystem::free_bytes(const std::filesystem::path& path) {
  enter("ask for free space", path);
  return base_.free_bytes(path);
}

uint64_t try_every_fault(const FaultTrial& trial) {
  uint64_t tried = 0;
  for (const Fault fault : {Fault::kFail, Fault::kShortWrite, Fault::kDiskFull, Fault::kPowerCut}) {
    for (uint64_t n = 0;; ++n) {
      MemoryFileSystem disk;
      trial.setup(disk);
      FaultyFileSystem faulty(disk, fault, n);
      bool done = true;
      try {
        trial.action(faulty);
      } catch (const Error& error) {
        done = false;
        EXPECT_EQ(error.kind(), ErrorKind::kIo) << error.what();
      }
      SCOPED_TRACE(std::string(to_string(fault)) + " at operation " + std::to_string(n));
      if (!faulty.struck()) {
        EXPECT_TRUE(done);
        trial.check(disk, true);
        disk.crash();
        trial.check(disk, true);
        break;
      }
      ++tried;
      if (fault != Fault::kPowerCut) trial.check(disk, done);
      disk.crash();
      trial.check(disk, done);
      if (::testing::Test::HasFatalFailure()) return tried;
    }
  }
  return tried;
}

}  // namespace imgpack::test
