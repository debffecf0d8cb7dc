// What an archive's name and the names in it say: where in the source tree its files belong.
//
//   ILSVRC2012_img_train.tar > n01440764.tar > n01440764_10026.JPEG   -> train/n01440764/n01440764_10026.JPEG
//   imagenet.zip > imagenet_object_localization_patched2019.tar.gz > ILSVRC/Data/… -> ILSVRC/Data/…
//
// An archive is mounted into one tree of names, which is then recognised as a folder is (folder_source.h), so that an
// archive and the folder it came from mean the same. Pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "format/ingest/source.h"

namespace imgpack::ingest {

enum class ArchiveRole {
  kPlain,  // Whatever it holds, it holds as a folder would.
  kTrain,  // Its images are the split's: ILSVRC2012_img_train.tar, train.tar.gz, …
  kVal,
  kTest,
  kBoxes,  // ILSVRC2012_bbox_val_v3.tgz: annotations of val.
  kOther,  // Of another task (img_train_t3, bbox_train, …): passed over.
};
ArchiveRole role_of(std::string_view archive_name);

// By extension: tar, tgz, tbz2, txz, tar.gz, tar.bz2, tar.xz, tar.zst, zip; case ignored.
bool is_archive_name(std::string_view file_name);
std::string archive_stem(std::string_view file_name);  // `n01440764` of `n01440764.tar`.

// A name as an archive has it, as a plain relative path: `./a//b` is `a/b`, `./` is empty. nullopt: absolute, with a
// `..` or a backslash-drive in it, or longer than 4,096 bytes.
std::optional<std::string> plain_path(std::string_view entry_name);

// Nothing below a folder that starts with a dot, or is called __MACOSX, belongs to a data set.
bool is_hidden(std::string_view path);

struct Mount {
  std::string folder;  // Of the tree, empty or with a slash at its end.
  ArchiveRole role = ArchiveRole::kPlain;
  std::string stem;         // Of the archive's name.
  bool own_folder = false;  // Images that lie flat in it go to the folder `stem`: it is one of several archives.
};
std::string mounted_path(const Mount& mount, const std::string& path);

// Which split an image belongs to and what it is called, before all names are known. A wrong guess is found when they
// are, and the archive read again.
class PlaceGuess {
 public:
  struct Place {
    std::string split;
    SourceImage image;
  };
  PlaceGuess() = default;
  // No guess any more: folders of the tree (with a slash at their end, or empty) and the splits that they are.
  explicit PlaceGuess(std::vector<std::pair<std::string, std::string>> known) : known_(std::move(known)) {}

  // nullopt: no split's.
  std::optional<Place> place(const std::string& path, uint64_t bytes);

 private:
  std::vector<std::pair<std::string, std::string>> known_;
  std::optional<size_t> class_depth_;  // Of class folders in the tree, told from the first image.
};

}  // namespace imgpack::ingest
