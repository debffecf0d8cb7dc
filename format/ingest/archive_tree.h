// What archives hold, as a FileSystem to read: names, sizes, and the bytes of label files. The bytes of images are not
// here; opening one is an error. Files that lie elsewhere, such as a label file that the user names, are those of the
// file system underneath.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "format/ingest/archive_source.h"
#include "format/ingest/source.h"
#include "format/read_only_file_system.h"

namespace imgpack::ingest {

// Thread-safe. REQUIRES: `base` and `contents` outlive this. Throws Error(kInvalidInput) for two files of one name, and
// for a name that is a file's and a folder's.
class ArchiveTree : public ReadOnlyFileSystem {
 public:
  ArchiveTree(FileSystem& base, std::filesystem::path root, const ArchiveContents& contents);

  const std::filesystem::path& root() const { return root_; }
  // Position in the contents' images. REQUIRES: there is such an image. `path` is relative to the root.
  size_t image_at(std::string_view path) const;

  std::unique_ptr<RandomAccessFile> open(const std::filesystem::path& path) override;
  bool exists(const std::filesystem::path& path) override;
  std::vector<DirectoryEntry> list(const std::filesystem::path& path) override;

 private:
  enum class Kind : uint8_t { kImage, kText, kFolder };
  struct Node {
    std::string_view path;
    Kind kind;
    uint32_t image;  // Position in the contents' images.
    uint64_t bytes;
  };
  // Relative to the root; nullopt: outside of it.
  std::optional<std::string> relative(const std::filesystem::path& path) const;
  std::vector<Node>::const_iterator first_at(std::string_view path) const;

  FileSystem& base_;
  std::filesystem::path root_;
  const ArchiveContents& contents_;
  std::vector<Node> nodes_;  // Sorted by path.
};

// Where a split lies in the tree of `root`: empty, or with a slash at the end.
std::string split_folder_in_tree(const SourceScan& scan, const SourceSplit& split, const std::filesystem::path& root);

}  // namespace imgpack::ingest
