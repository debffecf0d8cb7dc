#include "format/ingest/archive_tree.h"

#include <tbb/parallel_sort.h>

#include <algorithm>
#include <cstring>

#include "format/error.h"
#include "format/ingest/image_name.h"

namespace imgpack::ingest {
namespace {

using std::filesystem::path;

class TextFile : public RandomAccessFile {
 public:
  TextFile(const std::string& text, std::filesystem::path where) : text_(text), path_(std::move(where)) {}
  size_t read_at(uint64_t offset, std::span<std::byte> out) const override {
    if (offset >= text_.size()) return 0;
    const size_t size = std::min<uint64_t>(out.size(), text_.size() - offset);
    if (size > 0) std::memcpy(out.data(), text_.data() + offset, size);
    return size;
  }
  uint64_t size() const override { return text_.size(); }
  const std::filesystem::path& path() const override { return path_; }

 private:
  const std::string& text_;
  std::filesystem::path path_;
};

}  // namespace

ArchiveTree::ArchiveTree(FileSystem& base, path root, const ArchiveContents& contents)
    : base_(base), root_(std::move(root)), contents_(contents) {
  nodes_.reserve(contents.images.size() + contents.texts.size() + contents.folders.size());
  for (size_t i = 0; i < contents.images.size(); ++i) {
    nodes_.push_back({contents.images[i].path, Kind::kImage, static_cast<uint32_t>(i), contents.images[i].bytes});
  }
  for (const auto& [name, text] : contents.texts) nodes_.push_back({name, Kind::kText, 0, text.size()});
  for (const std::string& folder : contents.folders) nodes_.push_back({folder, Kind::kFolder, 0, 0});
  tbb::parallel_sort(nodes_.begin(), nodes_.end(),
                     [](const Node& a, const Node& b) { return a.path != b.path ? a.path < b.path : a.kind < b.kind; });
  const auto same_folder = [](const Node& a, const Node& b) {
    return a.path == b.path && a.kind == Kind::kFolder && b.kind == Kind::kFolder;
  };
  nodes_.erase(std::unique(nodes_.begin(), nodes_.end(), same_folder), nodes_.end());
  for (size_t i = 0; i + 1 < nodes_.size(); ++i) {
    if (nodes_[i].path != nodes_[i + 1].path) continue;
    throw Error(
        ErrorKind::kInvalidInput,
        (nodes_[i + 1].kind == Kind::kFolder ? "a file and a folder of one name: " : "two files of one name: ") +
            printable(nodes_[i].path),
        root_, {}, "remove one of them from the archive");
  }
}

std::optional<std::string> ArchiveTree::relative(const path& where) const {
  std::string text = where.lexically_relative(root_).generic_string();
  if (text == ".") return "";
  if (text.empty() || text == ".." || text.starts_with("../")) return std::nullopt;
  return text;
}

std::vector<ArchiveTree::Node>::const_iterator ArchiveTree::first_at(std::string_view from) const {
  return std::lower_bound(nodes_.begin(), nodes_.end(), from,
                          [](const Node& node, std::string_view key) { return node.path < key; });
}

size_t ArchiveTree::image_at(std::string_view name) const {
  const auto at = first_at(name);
  if (at == nodes_.end() || at->path != name || at->kind != Kind::kImage)
    throw Error(ErrorKind::kInternal, "no such image in the archive: " + printable(name), root_);
  return at->image;
}

std::unique_ptr<RandomAccessFile> ArchiveTree::open(const path& where) {
  const auto name = relative(where);
  if (!name) return base_.open(where);
  const auto at = contents_.texts.find(*name);
  if (at == contents_.texts.end()) throw Error(ErrorKind::kIo, "cannot open: no label file of this name", where);
  return std::make_unique<TextFile>(at->second, where);
}

bool ArchiveTree::exists(const path& where) {
  const auto name = relative(where);
  if (!name) return base_.exists(where);
  if (name->empty()) return true;
  if (const auto at = first_at(*name); at != nodes_.end() && at->path == *name) return true;
  const auto inside = first_at(*name + '/');
  return inside != nodes_.end() && inside->path.starts_with(*name + '/');
}

std::vector<DirectoryEntry> ArchiveTree::list(const path& where) {
  const auto name = relative(where);
  if (!name) return base_.list(where);
  std::string folder = *name;
  if (!folder.empty()) folder += '/';
  std::vector<DirectoryEntry> entries;
  for (auto at = first_at(folder); at != nodes_.end() && at->path.starts_with(folder);) {
    const std::string_view rest = at->path.substr(folder.size());
    const size_t slash = rest.find('/');
    const std::string entry(rest.substr(0, slash));
    const bool is_folder = slash != std::string_view::npos || at->kind == Kind::kFolder;
    entries.push_back({entry, is_folder, is_folder ? 0 : at->bytes});
    // All of a folder at once: `0` is the byte after `/`.
    at = slash == std::string_view::npos ? at + 1 : first_at(folder + entry + "0");
  }
  std::sort(entries.begin(), entries.end(),
            [](const DirectoryEntry& a, const DirectoryEntry& b) { return a.name < b.name; });
  // A folder that has an entry of its own is there twice.
  for (size_t i = 1; i < entries.size();) {
    if (entries[i].name != entries[i - 1].name) {
      ++i;
      continue;
    }
    if (!entries[i].is_directory || !entries[i - 1].is_directory) {
      throw Error(ErrorKind::kInvalidInput, "a file and a folder of one name: " + printable(folder + entries[i].name),
                  root_, {}, "remove one of them from the archive");
    }
    entries.erase(entries.begin() + static_cast<ptrdiff_t>(i));
  }
  return entries;
}

std::string split_folder_in_tree(const SourceScan& scan, const SourceSplit& split, const path& root) {
  std::string folder = (scan.root / split.folder).lexically_normal().lexically_relative(root).generic_string();
  while (!folder.empty() && folder.back() == '/') folder.pop_back();
  return folder.empty() || folder == "." ? "" : folder + "/";
}

}  // namespace imgpack::ingest
