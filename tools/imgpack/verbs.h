// The verbs of imgpack, one file each: a row of the option table and the function that runs it.
#pragma once

#include "tools/cli/option_table.h"

namespace imgpack {

cli::Verb build_verb();
cli::Verb plan_verb();
cli::Verb verify_verb();
cli::Verb inspect_verb();
cli::Verb ls_verb();
cli::Verb cat_verb();
cli::Verb extract_verb();
cli::Verb sample_verb();
cli::Verb reindex_verb();
cli::Verb relabel_verb();
cli::Verb add_labels_verb();
cli::Verb repair_verb();
cli::Verb diff_verb();
cli::Verb export_verb();
cli::Verb split_verb();
cli::Verb merge_verb();
cli::Verb doctor_verb();
cli::Verb push_verb();
cli::Verb pull_verb();

}  // namespace imgpack
