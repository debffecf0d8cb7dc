#include "format/remote/remote_file_system.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "format/error.h"
#include "format/manifest.h"

namespace imgpack::remote {

class RemoteFileSystem::File : public RandomAccessFile, public InterruptibleFile {
 public:
  File(RemoteFileSystem& fs, std::filesystem::path path) : fs_(fs), path_(std::move(path)) {}

  size_t read_at(uint64_t offset, std::span<std::byte> out) const override {
    const ObjectFacts& known = facts();
    if (offset >= known.bytes) return 0;
    const std::span<std::byte> there = out.first(std::min<uint64_t>(out.size(), known.bytes - offset));
    try {
      fs_.store_.read(path_, known, offset, there, &interrupted_);
    } catch (const Error& error) {
      // Whoever opens it again sees what is there by then. An interruption says nothing of the object.
      if (error.kind() != ErrorKind::kInterrupted) fs_.forget(path_);
      throw;
    }
    return there.size();
  }
  uint64_t size() const override { return facts().bytes; }
  const std::filesystem::path& path() const override { return path_; }
  void interrupt() const override { interrupted_ = true; }

 private:
  const ObjectFacts& facts() const {
    const std::lock_guard lock(mutex_);
    if (!facts_) facts_ = fs_.facts(path_, &interrupted_);
    if (facts_) return *facts_;
    const bool manifest = path_.filename() == kManifestFile;
    throw Error(
        ErrorKind::kIo, "cannot open: there is no such object", path_, {},
        manifest ? "the URL is that of the folder; imgpack push DIR URL puts a dataset there, its manifest last" : "");
  }

  RemoteFileSystem& fs_;
  const std::filesystem::path path_;
  mutable std::mutex mutex_;
  mutable std::optional<ObjectFacts> facts_;  // Once they are there, they stay.
  mutable std::atomic<bool> interrupted_{false};
};

std::optional<ObjectFacts> RemoteFileSystem::facts(const std::filesystem::path& path, ObjectStore::Flag interrupted) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = known_.find(path.native()); found != known_.end()) return found->second;
  }
  std::optional<ObjectFacts> found = store_.look(path, interrupted);
  const std::lock_guard lock(mutex_);
  if (found) known_.emplace(path.native(), *found);
  return found;
}

void RemoteFileSystem::forget(const std::filesystem::path& path) {
  const std::lock_guard lock(mutex_);
  known_.erase(path.native());
}

std::unique_ptr<RandomAccessFile> RemoteFileSystem::open(const std::filesystem::path& path) {
  parse_remote_url(path);
  return std::make_unique<File>(*this, path);
}

bool RemoteFileSystem::exists(const std::filesystem::path& path) {
  return facts(path).has_value();
}

std::vector<DirectoryEntry> RemoteFileSystem::list(const std::filesystem::path& path) {
  if (parse_remote_url(path).is_s3()) return store_.list(path);
  const auto manifest = facts(path / kManifestFile);
  if (!manifest) return {};
  return {{kManifestFile, false, manifest->bytes}};
}

std::string RemoteFileSystem::hint() const {
  return "imgpack push DIR URL copies a finished dataset there";
}

namespace {

RemoteSettings& settings() {
  static RemoteSettings settings;
  return settings;
}

class AnyFileSystem : public FileSystem, public RemoteFiles {
 public:
  std::unique_ptr<RandomAccessFile> open(const std::filesystem::path& path) override { return of(path).open(path); }
  std::unique_ptr<RandomAccessFile> open_direct(const std::filesystem::path& path) override {
    return of(path).open_direct(path);
  }
  std::unique_ptr<WritableFile> create(const std::filesystem::path& path) override { return of(path).create(path); }
  void rename(const std::filesystem::path& from, const std::filesystem::path& to) override {
    of(from).rename(from, to);
  }
  void remove(const std::filesystem::path& path) override { of(path).remove(path); }
  void make_directories(const std::filesystem::path& path) override { of(path).make_directories(path); }
  void link(const std::filesystem::path& existing, const std::filesystem::path& name, LinkKind kind) override {
    of(name).link(existing, name, kind);
  }
  void remove_directory(const std::filesystem::path& path) override { of(path).remove_directory(path); }
  void sync_directory(const std::filesystem::path& path) override { of(path).sync_directory(path); }
  void sync_tree(const std::filesystem::path& folder) override { of(folder).sync_tree(folder); }
  bool exists(const std::filesystem::path& path) override { return of(path).exists(path); }
  std::vector<DirectoryEntry> list(const std::filesystem::path& path) override { return of(path).list(path); }
  uint64_t free_bytes(const std::filesystem::path& path) override { return of(path).free_bytes(path); }
  bool has_descriptors() const override { return local_.has_descriptors(); }
  std::optional<RemoteReading> reading(const std::filesystem::path& path) const override {
    return is_remote(path) ? std::optional(settings().reading) : std::nullopt;
  }

 private:
  FileSystem& of(const std::filesystem::path& path) {
    // `gs://…` as a path would be "no such file", which helps nobody.
    if (path.native().find("://") == std::string::npos) return local_;
    parse_remote_url(path);
    static RemoteFileSystem far(object_store(), settings().reading);
    return far;
  }

  FileSystem& local_ = posix_file_system();
};

}  // namespace

FileSystem& any_file_system() {
  static AnyFileSystem fs;
  return fs;
}

ObjectStore& object_store() {
  static ObjectStore store(settings().requests);
  return store;
}

void configure_remote(const RemoteSettings& wanted) {
  settings() = wanted;
}

}  // namespace imgpack::remote
