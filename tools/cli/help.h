// Help texts, printed from the option table: 80 columns, no colour, the same on a terminal and in a file.
#pragma once

#include <string>
#include <vector>

#include "tools/cli/option_table.h"

namespace imgpack::cli {

std::string program_help(const Program& program);
std::string verb_help(const Program& program, const Verb& verb);  // Ends with EXIT STATUS.
std::string topic_help(const Program& program, const Topic& topic);
std::string option_head(const Option& option);  // `-j, --threads N`
std::string option_help(const Option& option);  // Its explanation with choices and default.
// The headings of a verb's options, in order; the first one is empty and means OPTIONS.
std::vector<std::string> option_groups(const Verb& verb);
std::vector<ExitStatus> program_exit_status();  // Of every program: what its verbs can end with.
std::string usage_line(const Program& program, const Verb& verb);
std::string version_text(const Program& program);

}  // namespace imgpack::cli
