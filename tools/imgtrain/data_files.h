// The file system that a run reads its data set from and writes its folder to, URLs and paths alike, and the options
// that say how URLs are read.
#pragma once

#include <vector>

#include "format/file.h"
#include "tools/cli/arguments.h"
#include "tools/cli/option_table.h"

namespace imgtrain {

// --connections, --cache-limit, --retry-seconds.
std::vector<imgpack::cli::Option> url_options();

// To be called before anything is read. REQUIRES: the verb has url_options().
imgpack::FileSystem& data_files(const imgpack::cli::Arguments& arguments);

}  // namespace imgtrain
