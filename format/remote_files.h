// What some file systems can say of some of their places, beyond the seam of file.h: that reading there goes over a
// network. Asked for by how_to_read(), so that file systems of disks need not know of it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace imgpack {

class FileSystem;
class RandomAccessFile;

// How a place wants to be read that is slow to answer, worth many reads at once, and not to be trusted before checksums
// were compared.
struct RemoteReading {
  uint32_t connections = 16;  // Reads at once.
  uint64_t cache_limit = 0;   // Bytes that a cache on a local disk may have; 0: as many as the disk.
};

// Beside FileSystem, by a class that is both. Thread-safe.
class RemoteFiles {
 public:
  virtual ~RemoteFiles() = default;
  virtual std::optional<RemoteReading> reading(const std::filesystem::path& path) const = 0;  // nullopt: a disk's.
};
std::optional<RemoteReading> how_to_read(const FileSystem& fs, const std::filesystem::path& path);

// Beside RandomAccessFile, where reads may take longer than a disk's do.
class InterruptibleFile {
 public:
  virtual ~InterruptibleFile() = default;
  virtual void interrupt()
      const = 0;  // Ends reads in progress and those to come with Error(kInterrupted). Thread-safe.
};
void interrupt(const RandomAccessFile& file);  // If it can be.

}  // namespace imgpack
