// The FileSystem of datasets that lie on S3 or a web server, and the one that programs use: URLs there, paths here.
//
//   path ──any_file_system──> posix_file_system()
//                        └──> RemoteFileSystem ──> ObjectStore
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "format/read_only_file_system.h"
#include "format/remote/object_store.h"
#include "format/remote_files.h"

namespace imgpack::remote {

// Read-only. open() asks nothing of the network; the file's first use does, and fails with what open() would where
// there is none, so that it can be interrupted like every other. An object that was used once is the same one for as
// long as this lives: a replaced object is an error of the next read, and seen as what it is when it is opened after
// that.
//
// list() of a web server's folder, which nobody can list, has manifest.json alone, if that is there.
class RemoteFileSystem : public ReadOnlyFileSystem, public RemoteFiles {
 public:
  RemoteFileSystem(ObjectStore& store, const RemoteReading& reading) : store_(store), reading_(reading) {}

  std::unique_ptr<RandomAccessFile> open(const std::filesystem::path& path) override;
  bool exists(const std::filesystem::path& path) override;
  std::vector<DirectoryEntry> list(const std::filesystem::path& path) override;
  std::optional<RemoteReading> reading(const std::filesystem::path&) const override { return reading_; }

 protected:
  std::string hint() const override;

 private:
  class File;
  std::optional<ObjectFacts> facts(const std::filesystem::path& path, ObjectStore::Flag interrupted = nullptr);
  void forget(const std::filesystem::path& path);

  ObjectStore& store_;
  const RemoteReading reading_;
  std::mutex mutex_;
  std::map<std::string, ObjectFacts> known_;
};

// What a program's options say of URLs.
struct RemoteSettings {
  RemoteOptions requests = patience(30);
  RemoteReading reading;
};
// To be called before the first use of what follows; later calls change nothing.
void configure_remote(const RemoteSettings& settings);

// Thread-safe; made at the first use. A path with a scheme that is not known is Error(kUsage).
FileSystem& any_file_system();
ObjectStore& object_store();  // The one behind it.

}  // namespace imgpack::remote
