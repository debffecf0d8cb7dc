#include "format/ingest/archive_images.h"

#include <algorithm>

#include "format/error.h"
#include "format/ingest/archive_tree.h"

namespace imgpack::ingest {

ArchiveImages::ArchiveImages(FileSystem& fs, const ArchiveSet& archives, const SourceScan& scan,
                             const WantedImages& wanted, std::filesystem::path folder, const std::atomic<bool>& stop)
    : fs_(fs), folder_(std::move(folder)) {
  for (const SourceSplit& split : scan.splits) {
    const std::string prefix = split_folder_in_tree(scan, split, archives.root);
    prefixes_.emplace(split.name, prefix);
    for (const SourceImage& image : split.images) {
      if (wanted.contains({split.name, std::string(image.name())})) files_.emplace(prefix + image.path, files_.size());
    }
  }
  remove_tree(fs_, folder_);
  if (files_.empty()) return;
  fs_.make_directories(folder_);
  try {
    keep(archives, stop);
  } catch (...) {
    remove_tree(fs_, folder_);
    throw;
  }
}

ArchiveImages::~ArchiveImages() {
  try {
    remove_tree(fs_, folder_);
  } catch (...) {
    // What is left is removed by the next one.
    return;
  }
}

void ArchiveImages::keep(const ArchiveSet& archives, const std::atomic<bool>& stop) {
  ArchiveWalk walk(fs_, archives);
  for (size_t kept = 0; kept < files_.size();) {
    if (stop) {
      throw Error(ErrorKind::kInterrupted, "stopped while the archive was read: run the same command to read it again",
                  archives.root);
    }
    const auto at = walk.next();
    if (!at) break;
    const auto wanted = files_.find(walk.contents().images[*at].path);
    if (wanted == files_.end()) continue;
    const std::vector<std::byte> bytes = walk.read();
    const auto file = fs_.create(file_of(wanted->second));
    file->append(bytes);
    file->close();
    ++kept;
  }
}

std::filesystem::path ArchiveImages::file_of(size_t number) const {
  return folder_ / std::to_string(number);
}

std::vector<std::byte> ArchiveImages::read(const SourceSplit& split, const SourceImage& image) {
  const auto prefix = prefixes_.find(split.name);
  const auto at = prefix == prefixes_.end() ? files_.end() : files_.find(prefix->second + image.path);
  if (at == files_.end())
    throw Error(ErrorKind::kInternal, "this image of the archive was not asked for: " + image.path, folder_);
  const auto file = fs_.open(file_of(at->second));
  std::vector<std::byte> bytes(file->size());
  read_exactly(*file, 0, bytes);
  return bytes;
}

}  // namespace imgpack::ingest
