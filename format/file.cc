#include "format/file.h"

#include "format/bytes.h"
#include "format/error.h"

namespace imgpack {
namespace {

[[noreturn]] void refuse(const char* what, const std::filesystem::path& path) {
  throw Error(ErrorKind::kIo, std::string(what) + ": this file system cannot do that", path);
}

}  // namespace

void FileSystem::link(const std::filesystem::path&, const std::filesystem::path& name, LinkKind) {
  refuse("cannot link", name);
}

void FileSystem::remove_directory(const std::filesystem::path& path) {
  refuse("cannot remove the folder", path);
}

void FileSystem::sync_tree(const std::filesystem::path& folder) {
  refuse("cannot sync the folder", folder);
}

void read_exactly(const RandomAccessFile& file, uint64_t offset, std::span<std::byte> out) {
  const size_t got = file.read_at(offset, out);
  if (got != out.size()) {
    throw Error(ErrorKind::kCorruption,
                "file ends early: expected " + std::to_string(out.size()) + " bytes, found " + std::to_string(got),
                file.path(), offset);
  }
}

std::string read_text(FileSystem& fs, const std::filesystem::path& path, uint64_t limit_bytes) {
  const auto file = fs.open(path);
  if (file->size() > limit_bytes) {
    throw Error(ErrorKind::kCorruption,
                "file is too large: expected at most " + std::to_string(limit_bytes) + " bytes, found " +
                    std::to_string(file->size()),
                path);
  }
  std::string text(file->size(), '\0');
  read_exactly(*file, 0, std::as_writable_bytes(std::span(text)));
  return text;
}

std::filesystem::path temporary_path(const std::filesystem::path& target) {
  std::filesystem::path path = target;
  path += kTemporarySuffix;
  return path;
}

void publish(FileSystem& fs, const std::filesystem::path& path, std::string_view bytes) {
  const std::filesystem::path temporary = temporary_path(path);
  try {
    const auto file = fs.create(temporary);
    file->append(as_bytes(bytes));
    file->sync();
    file->close();
    fs.rename(temporary, path);
  } catch (...) {
    remove_quietly(fs, temporary);
    throw;
  }
  fs.sync_directory(path.parent_path());
}

void remove_tree(FileSystem& fs, const std::filesystem::path& folder) {
  if (!fs.exists(folder)) return;
  for (const DirectoryEntry& entry : fs.list(folder)) {
    if (entry.is_directory && !entry.is_link) {
      remove_tree(fs, folder / entry.name);
    } else {
      fs.remove(folder / entry.name);
    }
  }
  fs.remove_directory(folder);
}

void remove_quietly(FileSystem& fs, const std::filesystem::path& path) noexcept {
  try {
    fs.remove(path);
  } catch (...) {
    // The failure that led here is the one to report; a left-over temporary file is replaced by the next attempt.
    return;
  }
}

}  // namespace imgpack
