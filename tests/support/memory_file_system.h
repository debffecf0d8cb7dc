// A FileSystem in memory that knows what a power cut leaves behind.
//
//   append -> volatile bytes --sync--> durable bytes          create, rename, remove -> volatile names
//                                                              --sync_directory--> durable names
//
// crash() throws away everything volatile: a file whose name is durable but whose bytes were never synced comes back
// empty, a name that was never synced does not come back. Stricter than most disks, which is the point.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "format/file.h"

namespace imgpack::test {

// Thread-safe.
class MemoryFileSystem : public FileSystem {
 public:
  std::unique_ptr<RandomAccessFile> open(const std::filesystem::path& path) override;
  std::unique_ptr<WritableFile> create(const std::filesystem::path& path) override;
  void rename(const std::filesystem::path& from, const std::filesystem::path& to) override;
  void remove(const std::filesystem::path& path) override;
  void make_directories(const std::filesystem::path& path) override;
  void link(const std::filesystem::path& existing, const std::filesystem::path& name, LinkKind kind) override;
  void remove_directory(const std::filesystem::path& path) override;
  void sync_directory(const std::filesystem::path& path) override;
  void sync_tree(const std::filesystem::path& folder) override;
  bool exists(const std::filesystem::path& path) override;
  std::vector<DirectoryEntry> list(const std::filesystem::path& path) override;
  uint64_t free_bytes(const std::filesystem::path& path) override;

  void crash();  // REQUIRES: no file is open for writing that will be written to again.

  // Straight access for tests: these are durable at once. bytes() throws Error(kIo) where there is no such file.
  std::string bytes(const std::filesystem::path& path);
  void set_bytes(const std::filesystem::path& path, std::string bytes);
  std::map<std::string, std::string> all_files();  // Path -> bytes.

 private:
  struct Node;
  class Reader;
  class Writer;

  std::shared_ptr<Node> find(const std::filesystem::path& path, const char* what);

  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Node>> names_, durable_names_;
  std::set<std::string> folders_{"", "/", "."};
  std::vector<std::pair<std::string, std::string>> moved_folders_;  // Renamed, and not yet synced.
};

}  // namespace imgpack::test
