// The command that makes a run again.
#pragma once

#include <string>
#include <string_view>

#include "engine/report/portable/run_record.h"

namespace imgtrain {

// `imgtrain train --shards DIR --recipe fast --lr 0.2 --out runs/again`: recipe, and every option that has a say in the
// result and differs from it. A recipe that this program does not have is spelled out. Quoted for a POSIX shell.
std::string reproduce_command(const RunRecord& run);

// As a word of a shell command: as it stands where that is safe, else in single quotes.
std::string shell_word(std::string_view text);

}  // namespace imgtrain
