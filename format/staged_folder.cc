#include "format/staged_folder.h"

#include <utility>

#include "format/error.h"

namespace imgpack {
namespace {

// Without a trailing slash, so that `.tmp` is appended to the name.
std::filesystem::path plain(const std::filesystem::path& path) {
  return path.has_filename() ? path : path.parent_path();
}

}  // namespace

StagedFolder::StagedFolder(FileSystem& fs, const std::filesystem::path& target)
    : fs_(fs), target_(plain(target)), staged_(temporary_path(target_)) {
  if (fs_.exists(target_) && !fs_.list(target_).empty()) {
    throw Error(ErrorKind::kInvalidInput, "output folder is not empty: nothing is overwritten", target_, {},
                "name a new folder, or remove this one");
  }
  remove_tree(fs_, staged_);
  fs_.make_directories(staged_);
}

StagedFolder::~StagedFolder() {
  if (committed_) return;
  try {
    remove_tree(fs_, staged_);
  } catch (...) {
    // The failure that led here is the one to report; the next run removes the rest.
    return;
  }
}

std::filesystem::path StagedFolder::place(const std::filesystem::path& name) {
  std::filesystem::path path = staged_ / name;
  const std::lock_guard lock(mutex_);
  if (folders_.insert(path.parent_path()).second) fs_.make_directories(path.parent_path());
  if (fs_.exists(path)) {
    throw Error(ErrorKind::kInvalidInput, "two files would have the same name: " + name.string(), target_);
  }
  return path;
}

void StagedFolder::write(const std::filesystem::path& name, std::span<const std::byte> bytes) {
  const auto file = fs_.create(place(name));
  file->append(bytes);
  file->close();
}

void StagedFolder::link(const std::filesystem::path& existing, const std::filesystem::path& name, LinkKind kind) {
  fs_.link(existing, place(name), kind);
}

void StagedFolder::commit() {
  fs_.sync_tree(staged_);
  fs_.rename(staged_, target_);
  committed_ = true;
  fs_.sync_directory(target_.parent_path());
}

}  // namespace imgpack
