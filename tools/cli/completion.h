// Completion scripts for shells, made from the option table: they hold all verbs, options and choices as text.
//
//   Program -> completion_script() -> a file that bash, zsh or fish reads; the program is not run for a completion
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tools/cli/option_table.h"

namespace imgpack::cli {

enum class Shell { kBash, kZsh, kFish };

std::optional<Shell> parse_shell(std::string_view name);  // `bash`, `zsh`, `fish`

std::string completion_script(const Program& program, Shell shell);

}  // namespace imgpack::cli
