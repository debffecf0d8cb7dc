// Help texts, printed from the option table: 80 columns, no colour, the same on a terminal and in a file.
#pragma once

#include <string>

#include "tools/cli/option_table.h"

namespace imgpack::cli {

std::string program_help(const Program& program);
std::string verb_help(const Program& program, const Verb& verb);  // Ends with EXIT STATUS.
std::string usage_line(const Program& program, const Verb& verb);
std::string version_text(const Program& program);

}  // namespace imgpack::cli
