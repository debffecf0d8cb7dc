// A tar archive of regular files: ustar headers, a pax header before a name that these cannot hold.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "format/file.h"

namespace imgpack {

// The same members give the same bytes: owner, times and modes are fixed. Not thread-safe. Throws Error(kIo).
class TarWriter {
 public:
  TarWriter(FileSystem& fs, const std::filesystem::path& path);
  void add(std::string_view name, std::span<const std::byte> bytes);
  void finish();  // REQUIRES: last call. The file is whole only then.

 private:
  void header(std::string_view name, uint64_t bytes, char type);
  void pad(uint64_t bytes);
  void put(std::span<const std::byte> bytes);

  std::unique_ptr<WritableFile> file_;
  std::vector<std::byte> buffer_;
};

}  // namespace imgpack
