// From argc and argv to an exit code: finds the verb, prints help or version, parses by the table, runs the verb inside
// run_tool(), and reports a standard output that could not be written.
#pragma once

#include "tools/cli/option_table.h"

namespace imgpack::cli {

int run_program(const Program& program, int argc, const char* const* argv);

}  // namespace imgpack::cli
