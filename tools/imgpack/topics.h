// The pages of `imgpack help TOPIC` that are about imgpack alone.
#pragma once

#include <vector>

#include "tools/cli/option_table.h"

namespace imgpack {

std::vector<imgpack::cli::Topic> topics();

}  // namespace imgpack
