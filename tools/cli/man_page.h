// Manual pages from the option table, in the troff of man(7): what --help says, in the same order.
#pragma once

#include <string>

#include "tools/cli/option_table.h"

namespace imgpack::cli {

std::string man_page(const Program& program);                    // imgpack(1): verbs, topics, exit status.
std::string man_page(const Program& program, const Verb& verb);  // imgpack-build(1)

}  // namespace imgpack::cli
