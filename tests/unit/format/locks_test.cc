// Locks are the operating system's: these tests use a folder of the real disk.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>

#include "format/byte_lock.h"
#include "format/folder_lock.h"
#include "tests/support/expect_error.h"

namespace imgpack {
namespace {

class Locks : public testing::Test {
 protected:
  Locks() {
    std::string name = (std::filesystem::temp_directory_path() / "locks_test-XXXXXX").string();
    folder_ = mkdtemp(name.data());
  }
  ~Locks() override { std::filesystem::remove_all(folder_); }
  std::filesystem::path folder_;
};

TEST_F(Locks, AFolderHasOneWriterAtATimeAndNoFileAfterwards) {
  {
    const FolderLock first(folder_);
    EXPECT_TRUE(std::filesystem::exists(folder_ / kLockFile));
    EXPECT_ERROR(std::make_unique<FolderLock>(folder_), ErrorKind::kIo,
                 "another build or pull is writing to this folder");
  }
  EXPECT_FALSE(std::filesystem::exists(folder_ / kLockFile));
  EXPECT_NO_THROW(FolderLock third(folder_));
}

TEST_F(Locks, AFileThatAKilledBuildLeftIsNoLock) {
  std::filesystem::path file = folder_ / kLockFile;
  { const std::unique_ptr<ByteLock> made = try_lock_byte(file, 0); }
  ASSERT_TRUE(std::filesystem::exists(file));
  EXPECT_NO_THROW(FolderLock lock(folder_));
}

TEST_F(Locks, AFolderThatIsNotThereIsNamed) {
  EXPECT_ERROR(std::make_unique<FolderLock>(folder_ / "missing"), ErrorKind::kIo, "cannot make the lock file");
  EXPECT_ERROR(try_lock_byte(folder_ / "missing" / "lock", 0), ErrorKind::kIo, "cannot open the lock file");
}

TEST_F(Locks, EveryByteIsALockOfItsOwnAgainstThisProcessToo) {
  const auto file = folder_ / "lock";
  std::unique_ptr<ByteLock> first = try_lock_byte(file, 0), far = try_lock_byte(file, uint64_t{1} << 40);
  ASSERT_NE(first, nullptr);
  ASSERT_NE(far, nullptr);
  EXPECT_EQ(try_lock_byte(file, 0), nullptr);
  EXPECT_EQ(try_lock_byte(file, uint64_t{1} << 40), nullptr);
  first.reset();
  EXPECT_NE(try_lock_byte(file, 0), nullptr);
}

}  // namespace
}  // namespace imgpack
