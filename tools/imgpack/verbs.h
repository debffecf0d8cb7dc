// The verbs of imgpack, one file each: a row of the option table and the function that runs it.
#pragma once

#include "tools/cli/option_table.h"

namespace imgpack {

cli::Verb build_verb();
cli::Verb plan_verb();
cli::Verb sample_verb();

}  // namespace imgpack
