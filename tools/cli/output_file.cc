#include "tools/cli/output_file.h"

#include "format/error.h"

namespace imgpack::cli {

void require_folder_of(FileSystem& fs, const std::filesystem::path& file) {
  const std::filesystem::path folder = file.has_parent_path() ? file.parent_path() : ".";
  if (fs.exists(folder)) return;
  throw Error(ErrorKind::kIo, "there is no such folder to write " + file.filename().string() + " to", folder, {},
              "make it first");
}

}  // namespace imgpack::cli
