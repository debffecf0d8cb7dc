// The options that build and plan share: one table, read into one struct.
#pragma once

#include <filesystem>
#include <vector>

#include "format/ingest/builder.h"
#include "format/ingest/labeling.h"
#include "tools/cli/arguments.h"
#include "tools/cli/option_table.h"

namespace imgpack {

struct PackCommand {
  std::filesystem::path source;
  std::filesystem::path out;
  ingest::LabelOptions labels;
  ingest::BuildOptions build;
  uint32_t threads = 0;        // 0: all.
  std::filesystem::path real;  // ReaL labels to add to the dataset; empty: none.
  bool accept_skipped = false;
  bool accept_missing = false;
  bool quiet = false;
  bool json = false;
};

std::vector<cli::Positional> pack_positionals();
std::vector<cli::Option> pack_options();

// The value of --entropy-index as NormaliseOptions has it. Throws Error(kUsage).
int read_entropy_index(const cli::Arguments& arguments);
// The options by which labels are found, of every verb that reads a source.
std::vector<cli::Option> label_options();
ingest::LabelOptions read_label_options(const cli::Arguments& arguments);

// Throws Error(kUsage).
PackCommand read_pack_command(const cli::Arguments& arguments);

}  // namespace imgpack
