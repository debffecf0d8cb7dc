// The operating system's files, without waiting for the disk: what a writer itself costs. For measurement alone; no
// program of ours works this way.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "format/file.h"

namespace imgbench {

// Thread-safe. Syncs do nothing; everything else is posix_file_system()'s.
class UnsyncedFileSystem : public imgpack::FileSystem {
 public:
  std::unique_ptr<imgpack::RandomAccessFile> open(const std::filesystem::path& path) override;
  std::unique_ptr<imgpack::WritableFile> create(const std::filesystem::path& path) override;
  void rename(const std::filesystem::path& from, const std::filesystem::path& to) override;
  void remove(const std::filesystem::path& path) override;
  void make_directories(const std::filesystem::path& path) override;
  void sync_directory(const std::filesystem::path& path) override;
  bool exists(const std::filesystem::path& path) override;
  std::vector<imgpack::DirectoryEntry> list(const std::filesystem::path& path) override;
  uint64_t free_bytes(const std::filesystem::path& path) override;
};

}  // namespace imgbench
