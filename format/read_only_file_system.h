// A FileSystem that only reads: everything that would change something is refused with Error(kUsage).
#pragma once

#include "format/file.h"

namespace imgpack {

class ReadOnlyFileSystem : public FileSystem {
 public:
  std::unique_ptr<WritableFile> create(const std::filesystem::path& path) override;
  void rename(const std::filesystem::path& from, const std::filesystem::path& to) override;
  void remove(const std::filesystem::path& path) override;
  void make_directories(const std::filesystem::path& path) override;
  void sync_directory(const std::filesystem::path& path) override;
  uint64_t free_bytes(const std::filesystem::path& path) override;

 protected:
  virtual std::string hint() const { return {}; }  // What to do instead.

 private:
  [[noreturn]] void refuse(const std::filesystem::path& path) const;
};

}  // namespace imgpack
