// Archives in memory, of any shape that a test wants, sound or malicious.
//
//   make_tar({{"n01/a.JPEG", bytes}, {"../evil", bytes}})   gzipped(make_tar(…))   make_zip({…})
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/memory_file_system.h"

namespace imgpack::test {

struct PackedFile {
  std::string name;
  std::string bytes = {};
  char type = '0';        // As tar has it: 0 file, 1 hard link, 2 symbolic link, 3 device, 5 folder.
  std::string link = {};  // Target.
  std::optional<uint64_t> claimed_bytes = {};  // What the header says instead of the truth.
};

enum class TarEnd { kMarked, kCutOff };  // Without the two empty blocks.

// ustar, written by hand. Names of at most 100 bytes.
std::string make_tar(const std::vector<PackedFile>& files, TarEnd end = TarEnd::kMarked);
// `password` encrypts.
std::string make_zip(const std::vector<PackedFile>& files, const std::string& password = {});
std::string gzipped(const std::string& bytes);
std::string zstandard(const std::string& bytes);

// Every file below `folder`, by its path relative to it with `prefix` before it; in the order of names.
std::vector<PackedFile> files_below(MemoryFileSystem& fs, const std::string& folder, const std::string& prefix = {});

}  // namespace imgpack::test
