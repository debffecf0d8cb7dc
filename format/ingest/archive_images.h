// Some images of archives, for those who want a few and not all: one walk keeps the bytes of the wanted ones in files
// of a temporary folder, and hands them out from there in any order.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "format/file.h"
#include "format/ingest/archive_source.h"
#include "format/ingest/source.h"

namespace imgpack::ingest {

using WantedImages = std::set<std::pair<std::string, std::string>>;  // Split and canonical name.

// read() is thread-safe. Disk: the wanted images, until this ends. Memory: their names, and those of the archive while
// it is walked through.
class ArchiveImages : public ImageReader {
 public:
  // `scan` is of the same archives. What is wanted and not there is passed over. `folder` is made, and removed in the
  // end; what is in it beforehand is removed, too. Throws what ArchiveWalk throws, Error(kIo), and Error(kInterrupted)
  // where `stop` was set.
  ArchiveImages(FileSystem& fs, const ArchiveSet& archives, const SourceScan& scan, const WantedImages& wanted,
                std::filesystem::path folder, const std::atomic<bool>& stop);
  ~ArchiveImages() override;
  ArchiveImages(const ArchiveImages&) = delete;
  ArchiveImages& operator=(const ArchiveImages&) = delete;

  // Throws Error(kInternal) for an image that was not wanted.
  std::vector<std::byte> read(const SourceSplit& split, const SourceImage& image) override;

 private:
  void keep(const ArchiveSet& archives, const std::atomic<bool>& stop);
  std::filesystem::path file_of(size_t number) const;

  FileSystem& fs_;
  const std::filesystem::path folder_;
  std::unordered_map<std::string, std::string> prefixes_;  // Split -> its folder in the tree.
  std::unordered_map<std::string, size_t> files_;          // Path in the tree -> number of the file.
};

}  // namespace imgpack::ingest
