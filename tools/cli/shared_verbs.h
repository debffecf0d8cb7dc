// Verbs and topics that every program has: shell completion and manual pages, made from its own table.
//
//   Program --add_shared_verbs()--> the same with `completion SHELL`, `man [VERB]` and the topics of all programs
#pragma once

#include "tools/cli/option_table.h"

namespace imgpack::cli {

// The verbs look at `program` when they run: it must stay where it is until then.
void add_shared_verbs(Program& program);

}  // namespace imgpack::cli
