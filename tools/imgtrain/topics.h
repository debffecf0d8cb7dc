// The pages of `imgtrain help TOPIC` that are about imgtrain alone.
#pragma once

#include <vector>

#include "tools/cli/option_table.h"

namespace imgtrain {

std::vector<imgpack::cli::Topic> topics();

}  // namespace imgtrain
