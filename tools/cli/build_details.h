// How this program was built, as the further lines of --version.
#pragma once

#include <string>
#include <vector>

namespace imgpack::cli {

std::string kind_of_build();  // `release`, `debug`, or which sanitizer.
std::string compiler();       // `g++ 12.2.0`

// Compiler, kind of build, libraries; the git commit where the source was a checkout.
std::vector<std::string> build_details();

}  // namespace imgpack::cli
