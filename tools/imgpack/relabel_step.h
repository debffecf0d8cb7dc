// What build shares with relabel and add-labels.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "format/ingest/real_labels.h"
#include "tools/cli/option_table.h"
#include "tools/imgpack/pack_options.h"

namespace imgpack {

// Writes the tree, or with `csv` the table, at `command.out` and says so on standard output. Returns the exit status.
int relabel(const PackCommand& command, const std::vector<std::string>& splits, const std::string& links, bool csv);
cli::Option links_option();

ingest::RealRows read_real_file(const std::filesystem::path& file);

// Adds the label set and returns a line that says so.
std::string add_real_labels(const std::filesystem::path& dataset, const ingest::RealRows& rows,
                            const std::string& split = "val", const std::string& name = "real");

}  // namespace imgpack
