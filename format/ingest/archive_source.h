// Archives as a source: found, walked through once, and what they hold as one tree of names.
//
//   find_archives() -> ArchiveSet -> ArchiveWalk: next() / read() per image, label files kept -> ArchiveContents
//   -> ArchiveTree, a FileSystem that scan_folder() and label_source() read as they read a folder
//
// Nothing of an archive is ever written under a name that it gives.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "format/file.h"
#include "format/ingest/archive_layout.h"
#include "format/ingest/archive_reader.h"

namespace imgpack::ingest {

// Limits of what an archive may ask for, whoever made it.
inline constexpr size_t kMaxArchiveDepth = 4;                // Archives in archives.
inline constexpr uint64_t kMaxHeldNameBytes = 2ull << 30;    // Names of images and folders, 128 bytes each added.
inline constexpr uint64_t kMaxHeldTextBytes = 512ull << 20;  // Label files.

struct ArchiveLimits {
  uint64_t name_bytes = kMaxHeldNameBytes, text_bytes = kMaxHeldTextBytes;
};

struct ArchiveFile {
  std::filesystem::path path;
  ArchiveRole role = ArchiveRole::kPlain;
  uint64_t bytes = 0;
  std::string kind;  // archive_kind()
};

struct ArchiveSet {
  std::filesystem::path root;  // The archive, or the folder that holds several: what names are relative to.
  std::vector<ArchiveFile> archives;
  std::vector<std::filesystem::path> texts;  // Label files that lie beside them, relative to the root.
  std::vector<std::string> notes;            // What was passed over.

  uint64_t bytes() const;           // Of all archives.
  std::string description() const;  // `ILSVRC2012_img_train.tar (tar), ILSVRC2012_img_val.tar (tar)`
  bool is_seekable() const;         // No archive is compressed as a whole: names can be had without reading it through.
};

// nullopt: `given` is a folder that holds images, or no archive. Opens archives only as far as their first bytes.
// Throws Error(kIo), and Error(kInvalidInput) for a file that is no archive, for an archive of another task, and for
// two archives of one split.
std::optional<ArchiveSet> find_archives(FileSystem& fs, const std::filesystem::path& given);

struct ArchivedImage {
  std::string path;  // In the tree.
  uint64_t bytes = 0;
};

struct ArchiveContents {
  std::vector<ArchivedImage> images;  // In the order in which they came.
  std::vector<std::string> folders;
  std::map<std::string, std::string> texts;  // Label files: path in the tree -> bytes.
  uint64_t ignored_files = 0;
  std::vector<std::string> ignored_examples;
  std::vector<std::string> inner_archives;  // Names of those within the given ones, a few of them.
  uint64_t inner_archive_count = 0;
};

// One pass over all archives of a set, in order. Not thread-safe. Throws Error(kInvalidInput) naming archive and entry
// for names that lead out of the archive, links, devices, archives nested too deeply, more names or label files than
// `limits`, images above kMaxImageBytes, and whatever ArchiveReader refuses.
class ArchiveWalk {
 public:
  ArchiveWalk(FileSystem& fs, const ArchiveSet& set, const ArchiveLimits& limits = {});
  ~ArchiveWalk();
  ArchiveWalk(const ArchiveWalk&) = delete;
  ArchiveWalk& operator=(const ArchiveWalk&) = delete;

  // Position of the next image in contents().images; nullopt: the end. Its bytes are passed over unless read() is
  // called. `bytes` of an image is 0 until then where its archive does not say it.
  std::optional<size_t> next();
  std::vector<std::byte> read();  // REQUIRES: next() returned an image, and read() was not called for it.
  // The image's size, by reading through it where it is not known. REQUIRES: as read(), instead of it.
  void skip();

  const ArchiveContents& contents() const;
  ArchiveContents take_contents();  // REQUIRES: next() returned nullopt.
  uint64_t bytes_read() const;      // Of the archives' own bytes so far; for progress.

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace imgpack::ingest
