#include "format/read_only_file_system.h"

#include "format/error.h"

namespace imgpack {

void ReadOnlyFileSystem::refuse(const std::filesystem::path& path) const {
  throw Error(ErrorKind::kUsage, "nothing can be written here", path, {}, hint());
}

std::unique_ptr<WritableFile> ReadOnlyFileSystem::create(const std::filesystem::path& path) {
  refuse(path);
}
void ReadOnlyFileSystem::rename(const std::filesystem::path& from, const std::filesystem::path&) {
  refuse(from);
}
void ReadOnlyFileSystem::remove(const std::filesystem::path& path) {
  refuse(path);
}
void ReadOnlyFileSystem::make_directories(const std::filesystem::path& path) {
  refuse(path);
}
void ReadOnlyFileSystem::sync_directory(const std::filesystem::path& path) {
  refuse(path);
}
uint64_t ReadOnlyFileSystem::free_bytes(const std::filesystem::path& path) {
  refuse(path);
}

}  // namespace imgpack
