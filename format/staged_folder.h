// A folder of many files that appears under its name all at once:
//
//   OUT.tmp/…  written file by file, in any order  --commit()-->  synced, renamed to OUT
//
// What a killed run left in OUT.tmp is removed by the next one.
#pragma once

#include <filesystem>
#include <mutex>
#include <set>
#include <span>

#include "format/file.h"

namespace imgpack {

// write() and link() are thread-safe. Everything throws Error(kIo).
class StagedFolder {
 public:
  // Throws Error(kInvalidInput) where `target` is there already and is no empty folder.
  StagedFolder(FileSystem& fs, const std::filesystem::path& target);
  ~StagedFolder();  // Without commit(): removes what was written.
  StagedFolder(const StagedFolder&) = delete;
  StagedFolder& operator=(const StagedFolder&) = delete;

  // Names are relative to the folder. A file that was written before is an Error(kInvalidInput): nothing is replaced.
  void write(const std::filesystem::path& name, std::span<const std::byte> bytes);
  void link(const std::filesystem::path& existing, const std::filesystem::path& name, LinkKind kind);
  // For those who write by themselves: the place, its parent folder made.
  std::filesystem::path place(const std::filesystem::path& name);

  // REQUIRES: last call.
  void commit();

 private:
  FileSystem& fs_;
  const std::filesystem::path target_, staged_;
  std::mutex mutex_;
  std::set<std::filesystem::path> folders_;
  bool committed_ = false;
};

}  // namespace imgpack
