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

void MemoryFileSystem::sync_directory(const std::filesystem::path& path) {
  const std::lock_guard lock(mutex_);
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
