// Pictures by gnuplot, an installed program: a script in, a PNG or SVG file out.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "format/file.h"

namespace imgtrain {

// Runs the script that `script` writes for a temporary file and publishes the result under `target`. Throws Error(kIo)
// where gnuplot is not installed, refuses the script or cannot write.
void plot(imgpack::FileSystem& fs, const std::filesystem::path& target,
          const std::function<std::string(const std::filesystem::path& temporary)>& script);

}  // namespace imgtrain
