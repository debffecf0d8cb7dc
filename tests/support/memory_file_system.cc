#include "tests/support/memory_file_system.h"

#include <algorithm>
#include <cstring>

#include "format/bytes.h"
#include "format/error.h"

namespace imgpack::test {

struct MemoryFileSystem::Node {
  std::string now, durable;
};

class MemoryFileSystem::Reader : public RandomAccessFile {
 public:
  Reader(std::string bytes, std::filesystem::path path) : bytes_(std::move(bytes)), path_(std::move(path)) {}
  size_t read_at(uint64_t offset, std::span<std::byte> out) const override {
    if (offset >= bytes_.size()) return 0;
    const size_t size = std::min<uint64_t>(out.size(), bytes_.size() - offset);
    if (size != 0) std::memcpy(out.data(), bytes_.data() + offset, size);
    return size;
  }
  uint64_t size() const override { return bytes_.size(); }
  const std::filesystem::path& path() const override { return path_; }

 private:
  std::string bytes_;
  std::filesystem::path path_;
};

class MemoryFileSystem::Writer : public WritableFile {
 public:
  Writer(std::mutex& mutex, std::shared_ptr<Node> node) : mutex_(mutex), node_(std::move(node)) {}
  void append(std::span<const std::byte> bytes) override {
    const std::lock_guard lock(mutex_);
    node_->now.append(as_text(bytes));
  }
  void sync() override {
    const std::lock_guard lock(mutex_);
    node_->durable = node_->now;
  }
  void close() override {}

 private:
  std::mutex& mutex_;
  std::shared_ptr<Node> node_;
};

namespace {

// `name` after the folder `from` was renamed to `to`.
std::string moved(const std::string& name, const std::string& from, const std::string& to) {
  if (name != from && !name.starts_with(from + "/")) return name;
  return to + name.substr(from.size());
}

template <typename Names>
void move_below(Names& names, const std::string& from, const std::string& to) {
  Names result;
  for (const auto& [name, node] : names) result[moved(name, from, to)] = node;
  names = std::move(result);
}

}  // namespace

std::shared_ptr<MemoryFileSystem::Node> MemoryFileSystem::find(const std::filesystem::path& path, const char* what) {
  const auto it = names_.find(path.string());
  if (it == names_.end()) throw Error(ErrorKind::kIo, std::string(what) + ": No such file or directory", path);
  return it->second;
}

std::unique_ptr<RandomAccessFile> MemoryFileSystem::open(const std::filesystem::path& path) {
  const std::lock_guard lock(mutex_);
  return std::make_unique<Reader>(find(path, "cannot open")->now, path);
}

std::unique_ptr<WritableFile> MemoryFileSystem::create(const std::filesystem::path& path) {
  const std::lock_guard lock(mutex_);
  if (!folders_.contains(path.parent_path().string()))
    throw Error(ErrorKind::kIo, "cannot create: No such file or directory", path);
  auto& node = names_[path.string()];
  node = std::make_shared<Node>();
  return std::make_unique<Writer>(mutex_, node);
}

void MemoryFileSystem::rename(const std::filesystem::path& from, const std::filesystem::path& to) {
  const std::lock_guard lock(mutex_);
  if (folders_.contains(from.string())) {
    const std::string below = to.string() + "/";
    if (names_.lower_bound(below) != names_.end() && names_.lower_bound(below)->first.starts_with(below))
      throw Error(ErrorKind::kIo, "cannot rename to " + to.string() + ": Directory not empty", from);
    move_below(names_, from.string(), to.string());
    std::set<std::string> folders;
    for (const std::string& name : folders_) folders.insert(moved(name, from.string(), to.string()));
    folders_ = std::move(folders);
    moved_folders_.emplace_back(from.string(), to.string());
    return;
  }
  const auto node = find(from, "cannot rename");
  names_[to.string()] = node;
  names_.erase(from.string());
}

void MemoryFileSystem::remove(const std::filesystem::path& path) {
  const std::lock_guard lock(mutex_);
  names_.erase(path.string());
}

void MemoryFileSystem::make_directories(const std::filesystem::path& path) {
  const std::lock_guard lock(mutex_);
  for (std::filesystem::path folder = path; !folder.empty() && folder != folder.parent_path();
       folder = folder.parent_path())
    folders_.insert(folder.string());
}

void MemoryFileSystem::link(const std::filesystem::path& existing, const std::filesystem::path& name, LinkKind) {
  const std::lock_guard lock(mutex_);
  if (names_.contains(name.string())) throw Error(ErrorKind::kIo, "cannot link: File exists", name);
  if (!folders_.contains(name.parent_path().string()))
    throw Error(ErrorKind::kIo, "cannot link: No such file or directory", name);
  names_[name.string()] = find(existing, "cannot link");
}

void MemoryFileSystem::remove_directory(const std::filesystem::path& path) {
  if (exists(path) && !list(path).empty())
    throw Error(ErrorKind::kIo, "cannot remove the folder: Directory not empty", path);
  const std::lock_guard lock(mutex_);
  folders_.erase(path.string());
}

void MemoryFileSystem::sync_tree(const std::filesystem::path& folder) {
  const std::lock_guard lock(mutex_);
  for (const auto& [name, node] : names_) {
    if (!name.starts_with(folder.string() + "/")) continue;
    node->durable = node->now;
    durable_names_[name] = node;
  }
}

void MemoryFileSystem::sync_directory(const std::filesystem::path& path) {
  const std::lock_guard lock(mutex_);
  for (const auto& [from, to] : moved_folders_) {
    if (std::filesystem::path(to).parent_path() == path) move_below(durable_names_, from, to);
  }
  std::erase_if(moved_folders_,
                [&](const auto& one) { return std::filesystem::path(one.second).parent_path() == path; });
  const auto inside = [&](const std::string& name) { return std::filesystem::path(name).parent_path() == path; };
  for (auto it = durable_names_.begin(); it != durable_names_.end();)
    it = inside(it->first) && !names_.contains(it->first) ? durable_names_.erase(it) : std::next(it);
  for (const auto& [name, node] : names_)
    if (inside(name)) durable_names_[name] = node;
}

bool MemoryFileSystem::exists(const std::filesystem::path& path) {
  const std::lock_guard lock(mutex_);
  return names_.contains(path.string()) || folders_.contains(path.string());
}

std::vector<DirectoryEntry> MemoryFileSystem::list(const std::filesystem::path& path) {
  const std::lock_guard lock(mutex_);
  if (!folders_.contains(path.string()))
    throw Error(ErrorKind::kIo, "cannot list the folder: No such file or directory", path);
  std::map<std::string, DirectoryEntry> entries;
  for (const auto& [name, node] : names_) {
    const std::filesystem::path file(name);
    if (file.parent_path() == path)
      entries[file.filename().string()] = {file.filename().string(), false, node->now.size()};
  }
  for (const std::string& name : folders_) {
    const std::filesystem::path folder(name);
    if (name != path && folder.parent_path() == path)
      entries[folder.filename().string()] = {folder.filename().string(), true, 0};
  }
  std::vector<DirectoryEntry> sorted;
  for (auto& [name, entry] : entries) sorted.push_back(entry);
  return sorted;
}

uint64_t MemoryFileSystem::free_bytes(const std::filesystem::path&) {
  return uint64_t{1} << 40;
}

void MemoryFileSystem::crash() {
  const std::lock_guard lock(mutex_);
  // The disk still has the old name of a folder whose new one was never synced.
  for (auto one = moved_folders_.rbegin(); one != moved_folders_.rend(); ++one) {
    std::set<std::string> folders;
    for (const std::string& name : folders_) folders.insert(moved(name, one->second, one->first));
    folders_ = std::move(folders);
  }
  moved_folders_.clear();
  names_ = durable_names_;
  for (auto& [name, node] : names_) {
    // A copy: a writer that outlives the crash must not reach the file any more.
    node = std::make_shared<Node>(Node{node->durable, node->durable});
  }
  durable_names_ = names_;
}

std::string MemoryFileSystem::bytes(const std::filesystem::path& path) {
  const std::lock_guard lock(mutex_);
  return find(path, "cannot open")->now;
}

void MemoryFileSystem::set_bytes(const std::filesystem::path& path, std::string bytes) {
  make_directories(path.parent_path());
  const std::lock_guard lock(mutex_);
  names_[path.string()] = std::make_shared<Node>(Node{bytes, bytes});
  durable_names_[path.string()] = names_[path.string()];
}

std::map<std::string, std::string> MemoryFileSystem::all_files() {
  const std::lock_guard lock(mutex_);
  std::map<std::string, std::string> files;
  for (const auto& [name, node] : names_) files[name] = node->now;
  return files;
}

}  // namespace imgpack::test
