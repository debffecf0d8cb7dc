// The fields of a run configuration as command-line options, and back: one row per field of the table in
// engine/train/run/run_config_fields.h, so that help and flags cannot say anything else.
#pragma once

#include <string>
#include <vector>

#include "engine/train/run/run_config.h"
#include "tools/cli/arguments.h"
#include "tools/cli/option_table.h"

namespace imgtrain {

// Rows for all fields, or for those named.
std::vector<imgpack::cli::Option> config_options();
std::vector<imgpack::cli::Option> config_options(const std::vector<std::string>& fields);

// Rows for fields that a verb takes from a run where they are not given: no defaults of their own, under `group`.
std::vector<imgpack::cli::Option> run_options(const std::vector<std::string>& fields, const std::string& group = {});

// --recipe and --config.
std::vector<imgpack::cli::Option> layer_options();

// The fields among the options that were given. Throws Error(kUsage) for text that is not what the field takes.
ConfigLayer flags_layer(const imgpack::cli::Arguments& arguments);

// recipe < --config < flags.
ResolvedConfig resolve_arguments(const imgpack::cli::Arguments& arguments);

}  // namespace imgtrain
