#include "tools/imgbench/unsynced_file_system.h"

#include <utility>

namespace imgbench {

using namespace imgpack;

namespace {

class UnsyncedFile : public WritableFile {
 public:
  explicit UnsyncedFile(std::unique_ptr<WritableFile> base) : base_(std::move(base)) {}
  void append(std::span<const std::byte> bytes) override { base_->append(bytes); }
  void sync() override {}
  void close() override { base_->close(); }

 private:
  std::unique_ptr<WritableFile> base_;
};

}  // namespace

std::unique_ptr<RandomAccessFile> UnsyncedFileSystem::open(const std::filesystem::path& path) {
  return posix_file_system().open(path);
}

std::unique_ptr<WritableFile> UnsyncedFileSystem::create(const std::filesystem::path& path) {
  return std::make_unique<UnsyncedFile>(posix_file_system().create(path));
}

void UnsyncedFileSystem::rename(const std::filesystem::path& from, const std::filesystem::path& to) {
  posix_file_system().rename(from, to);
}

void UnsyncedFileSystem::remove(const std::filesystem::path& path) {
  posix_file_system().remove(path);
}

void UnsyncedFileSystem::make_directories(const std::filesystem::path& path) {
  posix_file_system().make_directories(path);
}

void UnsyncedFileSystem::sync_directory(const std::filesystem::path&) {}

bool UnsyncedFileSystem::exists(const std::filesystem::path& path) {
  return posix_file_system().exists(path);
}

std::vector<DirectoryEntry> UnsyncedFileSystem::list(const std::filesystem::path& path) {
  return posix_file_system().list(path);
}

uint64_t UnsyncedFileSystem::free_bytes(const std::filesystem::path& path) {
  return posix_file_system().free_bytes(path);
}

}  // namespace imgbench
