#include <algorithm>
#include <iostream>

#include "format/diff.h"
#include "tools/cli/arguments.h"
#include "tools/cli/run_tool.h"
#include "tools/cli/stop_signals.h"
#include "tools/cli/units.h"
#include "tools/imgpack/verbs.h"

namespace imgpack {
namespace {

constexpr size_t kLinesPrinted = 100;
constexpr int kExitDiffer = 1;  // As diff(1) and cmp(1) have it.

void print_text(const DatasetDiff& diff) {
  for (const std::string& line : diff.facts) std::cout << line << "\n";
  for (size_t i = 0; i < std::min(diff.differences.size(), kLinesPrinted); ++i)
    std::cout << to_text(diff.differences[i]) << "\n";
  if (diff.differences.size() > kLinesPrinted) std::cout << "... and more (--json lists them)\n";
  if (diff.same_content()) {
    std::cout << "the same content: " << cli::format_count(diff.same) << " records, dataset " << diff.first_id << "\n";
  } else {
    std::cout << cli::format_count(diff.same) << " records the same, " << cli::format_count(diff.images)
              << " other images, " << cli::format_count(diff.labels) << " other labels, "
              << cli::format_count(diff.only_in_first) << " only in the first, "
              << cli::format_count(diff.only_in_second) << " only in the second\n";
  }
  for (const std::string& line : diff.options) std::cout << "packed with other options: " << line << "\n";
}

int run_diff(const cli::Arguments& arguments) {
  FileSystem& fs = posix_file_system();
  const Dataset first = Dataset::open(fs, arguments.positional("FIRST"), ReadNames::kYes);
  const Dataset second = Dataset::open(fs, arguments.positional("SECOND"), ReadNames::kYes);
  DiffOptions options;
  options.on_record = [] { cli::throw_if_stopped("nothing was changed"); };
  const DatasetDiff diff = diff_datasets(fs, first, second, options);
  if (arguments.has("json")) {
    std::cout << to_json(diff);
  } else {
    print_text(diff);
  }
  return diff.same_content() ? cli::kExitOk : kExitDiffer;
}

}  // namespace

cli::Verb diff_verb() {
  cli::Verb verb;
  verb.name = "diff";
  verb.summary = "Compare two datasets by content";
  verb.description =
      "Pairs records by split and name and compares classes, labels and image bytes: what does not depend on the size "
      "of shards, entropy indexes or the version that packed. Equal dataset ids settle it at once; else indexes and "
      "record headers are read, and no image is.";
  verb.positionals = {{.name = "FIRST", .help = "A folder of shards."}, {.name = "SECOND", .help = "Another one."}};
  verb.options = {cli::json_option()};
  verb.examples = {{"imgpack diff imagenet.shards imagenet-500px.shards", "Which images were resized?"}};
  verb.exit_status = cli::usual_exit_status({{cli::kExitOk, "the same content"},
                                             {kExitDiffer, "they differ, or it failed"},
                                             {cli::kExitDamage, "one of them is damaged"}});
  verb.run = run_diff;
  return verb;
}

}  // namespace imgpack
