#include "format/read_only_file_system.h"

#include <gtest/gtest.h>

#include "tests/support/expect_error.h"

namespace imgpack {
namespace {

class Empty : public ReadOnlyFileSystem {
 public:
  std::unique_ptr<RandomAccessFile> open(const std::filesystem::path&) override { return nullptr; }
  bool exists(const std::filesystem::path&) override { return false; }
  std::vector<DirectoryEntry> list(const std::filesystem::path&) override { return {}; }

 protected:
  std::string hint() const override { return "push it there"; }
};

TEST(ReadOnlyFileSystem, RefusesWhateverWouldChangeSomethingAndSaysWhatToDoInstead) {
  Empty fs;
  EXPECT_ERROR(fs.create("there/a"), ErrorKind::kUsage, "there/a: nothing can be written here");
  EXPECT_ERROR(fs.create("there/a"), ErrorKind::kUsage, "push it there");
  EXPECT_ERROR(fs.rename("there/a", "b"), ErrorKind::kUsage, "there/a");
  EXPECT_ERROR(fs.remove("there/a"), ErrorKind::kUsage, "there/a");
  EXPECT_ERROR(fs.make_directories("there"), ErrorKind::kUsage, "there");
  EXPECT_ERROR(fs.sync_directory("there"), ErrorKind::kUsage, "there");
  EXPECT_ERROR(fs.free_bytes("there"), ErrorKind::kUsage, "there");
}

}  // namespace
}  // namespace imgpack
