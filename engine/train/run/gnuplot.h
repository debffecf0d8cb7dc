// Pictures by gnuplot, an installed program: a script in, a PNG or SVG file out.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "format/file.h"

namespace imgtrain {

// Several pictures by one script and one gnuplot: `script` is given a temporary file for each target, in order. Every
// picture is published, or none. Errors as below.
using PlotScript = std::function<std::string(const std::vector<std::filesystem::path>& temporaries)>;
void plot(imgpack::FileSystem& fs, const std::vector<std::filesystem::path>& targets, const PlotScript& script);

// One picture. Runs the script that `script` writes for a temporary file and publishes the result under `target`.
// Throws Error(kIo) where gnuplot is not installed, refuses the script or cannot write.
void plot(imgpack::FileSystem& fs, const std::filesystem::path& target,
          const std::function<std::string(const std::filesystem::path& temporary)>& script);

}  // namespace imgtrain
