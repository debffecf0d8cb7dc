// The verbs of imgtrain, one file each.
#pragma once

#include "tools/cli/option_table.h"

namespace imgtrain {

imgpack::cli::Verb train_verb();
imgpack::cli::Verb eval_verb();
imgpack::cli::Verb predict_verb();
imgpack::cli::Verb export_verb();
imgpack::cli::Verb drill_verb();
imgpack::cli::Verb lr_find_verb();
imgpack::cli::Verb batch_find_verb();
imgpack::cli::Verb profile_verb();
imgpack::cli::Verb estimate_verb();
imgpack::cli::Verb recipes_verb();
imgpack::cli::Verb config_verb();
imgpack::cli::Verb schedule_verb();
imgpack::cli::Verb augment_preview_verb();
imgpack::cli::Verb serve_verb();
imgpack::cli::Verb watch_verb();
imgpack::cli::Verb summary_verb();
imgpack::cli::Verb plot_verb();
imgpack::cli::Verb report_verb();
imgpack::cli::Verb doctor_verb();

}  // namespace imgtrain
