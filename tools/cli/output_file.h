// A file that a verb writes at the end of long work.
#pragma once

#include <filesystem>

#include "format/file.h"

namespace imgpack::cli {

// Before the work: throws Error(kIo) where the folder that `file` is to be written to is not there.
void require_folder_of(FileSystem& fs, const std::filesystem::path& file);

}  // namespace imgpack::cli
