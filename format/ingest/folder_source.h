// A folder of images on disk: recognised, listed, read.
//
// Recognised, at or up to two folders below the one given:
//   ILSVRC/Data/CLS-LOC/{train,val,test}   Kaggle or torrent tree; the folder given may also lie inside it
//   {train,val,test}                       split folders, with class folders or flat images in them
//   CLASS/image                            class folders alone
#pragma once

#include <filesystem>
#include <memory>

#include "format/file.h"
#include "format/ingest/source.h"

namespace imgpack::ingest {

// Lists everything; reads no image. Throws Error(kIo) for a folder that cannot be read, and Error(kInvalidInput) for
// one that is none of the above, holds no image, has an empty class folder or two files of one canonical name.
// Memory: about 120 bytes per image.
SourceScan scan_folder(FileSystem& fs, const std::filesystem::path& folder);

// Of an archive's names: where there is no layout with split folders, the innermost folder that holds everything, so
// that `tar cf photos.tar photos` means what `photos` means. Else `folder` itself.
std::filesystem::path class_folder_root(FileSystem& fs, const std::filesystem::path& folder);

// REQUIRES: `fs` outlives the result.
std::unique_ptr<ImageReader> make_folder_reader(FileSystem& fs, const std::filesystem::path& root);

}  // namespace imgpack::ingest
