// The one seam through which every file of the project is read and written, so that tests can put a FaultyFileSystem
// (tests/support) in its place and break any operation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace imgpack {

// A file open for reading at any offset. Thread-safe: reads carry their offset. Throws Error(kIo).
class RandomAccessFile {
 public:
  virtual ~RandomAccessFile() = default;
  // Fills `out` from `offset`; returns the bytes read, less than asked only at the end of the file.
  virtual size_t read_at(uint64_t offset, std::span<std::byte> out) const = 0;
  virtual uint64_t size() const = 0;  // Bytes, as they were when the file was opened.
  virtual const std::filesystem::path& path() const = 0;

  // Offsets, lengths and memory addresses of reads must be multiples of this. More than 1 after open_direct().
  virtual size_t alignment() const { return 1; }
  // For reads that the kernel completes by itself (io_uring); -1 where there is no descriptor. Stays this object's.
  virtual int descriptor() const { return -1; }
  // Advice, free to be ignored: these bytes are read in a moment, or are not read again soon.
  virtual void expect_read(uint64_t /*offset*/, uint64_t /*bytes*/) const {}
  virtual void forget(uint64_t /*offset*/, uint64_t /*bytes*/) const {}
};

// A file being written from its start to its end. Not thread-safe. Throws Error(kIo).
class WritableFile {
 public:
  virtual ~WritableFile() = default;  // Closes; never syncs, never publishes.
  virtual void append(std::span<const std::byte> bytes) = 0;
  virtual void sync() = 0;   // The bytes are on the disk when this returns.
  virtual void close() = 0;  // REQUIRES: last call. Reports what the destructor could not.
};

struct DirectoryEntry {
  std::string name;
  bool is_directory = false;  // Also a link to one.
  uint64_t bytes = 0;         // Of a regular file.
  bool is_link = false;       // Symbolic.
};

enum class LinkKind { kHard, kSymbolic };

// Thread-safe. Every call throws Error(kIo) that names the path and the operating system's reason.
class FileSystem {
 public:
  virtual ~FileSystem() = default;
  virtual std::unique_ptr<RandomAccessFile> open(const std::filesystem::path& path) = 0;
  // For reads past the page cache, see RandomAccessFile::alignment(). nullptr: not possible here; use open().
  virtual std::unique_ptr<RandomAccessFile> open_direct(const std::filesystem::path& /*path*/) { return nullptr; }
  virtual std::unique_ptr<WritableFile> create(const std::filesystem::path& path) = 0;  // Truncates what is there.
  virtual void rename(const std::filesystem::path& from, const std::filesystem::path& to) = 0;  // Replaces `to`.
  virtual void remove(const std::filesystem::path& path) = 0;                                   // Absent is no error.
  virtual void make_directories(const std::filesystem::path& path) = 0;
  // `name` becomes another name of the file `existing`. A file system that has no links refuses.
  virtual void link(const std::filesystem::path& existing, const std::filesystem::path& name, LinkKind kind);
  virtual void remove_directory(const std::filesystem::path& path);  // An empty one. Absent is no error.
  virtual void sync_directory(const std::filesystem::path& path) = 0;
  // All that lies below the folder, files and names, is on the disk when this returns: one call for a tree of many
  // files.
  virtual void sync_tree(const std::filesystem::path& folder);
  virtual bool exists(const std::filesystem::path& path) = 0;
  virtual std::vector<DirectoryEntry> list(const std::filesystem::path& path) = 0;  // Sorted by name.
  virtual uint64_t free_bytes(const std::filesystem::path& path) = 0;  // Of the disk that holds an existing path.
  virtual bool has_descriptors() const { return false; }  // Whether RandomAccessFile::descriptor() is a real one.
};

FileSystem& posix_file_system();

// Fills `out`. Throws Error(kCorruption) where the file ends before that.
void read_exactly(const RandomAccessFile& file, uint64_t offset, std::span<std::byte> out);

// Reads a whole small file. Throws Error(kCorruption) if it is larger than `limit_bytes`.
std::string read_text(FileSystem& fs, const std::filesystem::path& path, uint64_t limit_bytes);

// Publishes `bytes` under `path` so that a crash leaves the old file or the new one: temporary file, sync, rename,
// directory sync.
void publish(FileSystem& fs, const std::filesystem::path& path, std::string_view bytes);

// Files are written under their name and this suffix until they are published. Whatever carries it may be deleted.
inline constexpr const char* kTemporarySuffix = ".tmp";
std::filesystem::path temporary_path(const std::filesystem::path& target);

// Removes a folder and all that is in it; a link is removed, never followed. Absent is no error.
void remove_tree(FileSystem& fs, const std::filesystem::path& folder);

// For clean-up on the way out of a failure: a second failure is not worth reporting.
void remove_quietly(FileSystem& fs, const std::filesystem::path& path) noexcept;

}  // namespace imgpack
