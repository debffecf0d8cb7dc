// --gpus and --ranks: one process of the same command for every device of this machine.
#pragma once

#include <optional>
#include <vector>

#include "tools/cli/arguments.h"
#include "tools/cli/option_table.h"

namespace imgtrain {

std::vector<imgpack::cli::Option> rank_options();

// Where they ask for several processes: starts them, waits, and returns the exit code. nullopt: this process does the
// work itself. Throws Error(kUsage) where the device or the environment says otherwise.
std::optional<int> launched_ranks(const imgpack::cli::Arguments& arguments);

}  // namespace imgtrain
