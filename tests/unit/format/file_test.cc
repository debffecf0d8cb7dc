// The operating system's file system through the seam, in a real temporary folder.
#include "format/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "format/bytes.h"
#include "tests/support/expect_error.h"

namespace imgpack {
namespace {

class PosixFiles : public ::testing::Test {
 protected:
  PosixFiles() {
    std::string pattern = (std::filesystem::temp_directory_path() / "imgpack-file-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~PosixFiles() override { std::filesystem::remove_all(folder_); }

  void write(const std::filesystem::path& path, std::string_view text) {
    const auto file = fs_.create(path);
    file->append(as_bytes(text));
    file->sync();
    file->close();
  }

  FileSystem& fs_ = posix_file_system();
  std::filesystem::path folder_;
};

TEST_F(PosixFiles, WhatIsAppendedIsReadBackAtAnyOffset) {
  write(folder_ / "a", "hello world");
  const auto file = fs_.open(folder_ / "a");
  EXPECT_EQ(file->size(), 11u);
  std::vector<std::byte> out(5);
  EXPECT_EQ(file->read_at(6, out), 5u);
  EXPECT_EQ(as_text(out), "world");
  EXPECT_EQ(file->read_at(9, out), 2u);
  EXPECT_EQ(file->read_at(11, out), 0u);
  EXPECT_EQ(file->read_at(1000, out), 0u);
  EXPECT_ERROR(read_exactly(*file, 9, out), ErrorKind::kCorruption, "file ends early: expected 5 bytes, found 2");
}

TEST_F(PosixFiles, MissingFileNamesPathAndReason) {
  EXPECT_ERROR(fs_.open(folder_ / "none"), ErrorKind::kIo, "none: cannot open: No such file or directory");
  EXPECT_FALSE(fs_.exists(folder_ / "none"));
  EXPECT_FALSE(fs_.exists(folder_ / "none" / "deeper"));
}

TEST_F(PosixFiles, FoldersAndPipesAreNotFiles) {
  EXPECT_ERROR(fs_.open(folder_), ErrorKind::kIo, "this is a folder");
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  EXPECT_ERROR(fs_.open(folder_ / "pipe"), ErrorKind::kIo, "not a regular file");  // And does not wait for a writer.
}

TEST_F(PosixFiles, CreateTruncatesWhatIsThere) {
  write(folder_ / "a", "long text");
  write(folder_ / "a", "x");
  EXPECT_EQ(read_text(fs_, folder_ / "a", 100), "x");
}

TEST_F(PosixFiles, FilesAreNotInheritedByChildren) {
  write(folder_ / "a", "x");
  const auto reader = fs_.open(folder_ / "a");
  const auto writer = fs_.create(folder_ / "b");
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code error;
    const auto target = std::filesystem::read_symlink(entry.path(), error);
    if (error || target.parent_path() != folder_) continue;
    const int fd = std::atoi(entry.path().filename().c_str());
    EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0) << target;
  }
}

TEST_F(PosixFiles, PublishReplacesAndLeavesNoTemporaryFile) {
  publish(fs_, folder_ / "a", "one");
  publish(fs_, folder_ / "a", "two");
  EXPECT_EQ(read_text(fs_, folder_ / "a", 100), "two");
  EXPECT_EQ(fs_.list(folder_).size(), 1u);
}

TEST_F(PosixFiles, PublishIntoAMissingFolderIsAnError) {
  EXPECT_ERROR(publish(fs_, folder_ / "none" / "a", "x"), ErrorKind::kIo, "cannot create");
}

TEST_F(PosixFiles, RelativePathIsPublishedInTheWorkingFolder) {
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder_);
  publish(fs_, "relative", "x");
  std::filesystem::current_path(before);
  EXPECT_EQ(read_text(fs_, folder_ / "relative", 100), "x");
}

TEST_F(PosixFiles, ListIsSortedAndKnowsFoldersAndSizes) {
  write(folder_ / "b", "12345");
  fs_.make_directories(folder_ / "c" / "d");
  write(folder_ / "a", "");
  std::filesystem::create_symlink("nowhere", folder_ / "dangling");
  const auto entries = fs_.list(folder_);
  ASSERT_EQ(entries.size(), 4u);
  EXPECT_EQ(entries[0].name, "a");
  EXPECT_EQ(entries[1].name, "b");
  EXPECT_EQ(entries[1].bytes, 5u);
  EXPECT_TRUE(entries[2].is_directory);
  EXPECT_EQ(entries[3].name, "dangling");
  EXPECT_ERROR(fs_.list(folder_ / "none"), ErrorKind::kIo, "cannot list the folder");
}

TEST_F(PosixFiles, RemoveOfAnAbsentFileIsNoError) {
  fs_.remove(folder_ / "none");
  write(folder_ / "a", "x");
  fs_.remove(folder_ / "a");
  EXPECT_FALSE(fs_.exists(folder_ / "a"));
  EXPECT_ERROR(fs_.remove(folder_), ErrorKind::kIo, "cannot remove");
}

TEST_F(PosixFiles, RenameOfAnAbsentFileNamesBoth) {
  EXPECT_ERROR(fs_.rename(folder_ / "x", folder_ / "y"), ErrorKind::kIo,
               "cannot rename to " + (folder_ / "y").string());
}

TEST_F(PosixFiles, ReadTextRefusesWhatIsTooLarge) {
  write(folder_ / "a", "12345");
  EXPECT_ERROR(read_text(fs_, folder_ / "a", 4), ErrorKind::kCorruption, "expected at most 4 bytes, found 5");
}

TEST_F(PosixFiles, FreeSpaceIsKnown) {
  EXPECT_GT(fs_.free_bytes(folder_), 0u);
  EXPECT_ERROR(fs_.free_bytes(folder_ / "none"), ErrorKind::kIo, "cannot ask for free space");
}

TEST_F(PosixFiles, FullDiskSaysWhatToDo) {
  if (::access("/dev/full", W_OK) != 0) GTEST_SKIP() << "/dev/full is not here";
  const auto file = fs_.create("/dev/full");
  EXPECT_ERROR(file->append(as_bytes("x")), ErrorKind::kIo, "No space left on device. Hint: free some space");
}

}  // namespace
}  // namespace imgpack
