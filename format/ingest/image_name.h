// What a file's name and place say: is it an image, which split and class is it of, what is it called for ever.
// Pure functions of the relative path, so that a folder and an archive of it agree.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "format/ingest/source.h"

namespace imgpack::ingest {

// By extension, case ignored: jpeg, jpg, png, webp, bmp, and image kinds that will be quarantined by their content
// rather than overlooked (gif, tif, tiff). Names that start with a dot are never images.
bool is_image_file(std::string_view file_name);

// `train`, `val` or `test` for a split folder's name (`valid` and `validation` are val), empty for any other name.
std::string_view split_of_folder(std::string_view folder_name);

// `ILSVRC2012_val_00000001.JPEG`, `ILSVRC2012_test_00000001.JPEG`: names that are unique whatever folder they are in.
bool is_ilsvrc_name(std::string_view file_name);

// What comes after the last slash; slashes at the end do not count.
std::string_view last_component(std::string_view path);

// The file name without its last extension: `ILSVRC2012_val_00000001`.
std::string_view stem_of(std::string_view name);

// The image at `path` relative to its split's folder. The first of several components is the class folder. The
// canonical name is the whole path, or the file name alone where that is an ILSVRC name: a validation set sorted into
// class folders has the same names as the flat one.
// nullopt: the path is longer than a record's name may be.
std::optional<SourceImage> source_image(std::string path, uint64_t bytes);

// For messages and the manifest: bytes that are not UTF-8, and control characters, as \xNN.
std::string printable(std::string_view text);

}  // namespace imgpack::ingest
