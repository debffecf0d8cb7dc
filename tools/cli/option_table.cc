#include "tools/cli/option_table.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "tools/cli/run_tool.h"

namespace imgpack::cli {

void append(std::vector<Option>& options, std::vector<Option> more) {
  options.insert(options.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

Option threads_option() {
  return {.name = "threads",
          .value = "N",
          .help = "Threads to use; 0 takes every core that this process may use. The result does not depend on it.",
          .default_value = "0",
          .letter = 'j'};
}

Option json_option() {
  return {.name = "json", .value = "", .help = "Print the result as JSON on standard output, for scripts."};
}

Option quiet_option() {
  return {.name = "quiet", .value = "", .help = "No progress; warnings and errors only.", .letter = 'q'};
}

std::vector<ExitStatus> usual_exit_status(const std::vector<ExitStatus>& extra) {
  std::vector<ExitStatus> rows = {
      {kExitOk, "done"},
      {kExitFailed, "failed: the message says what, where, and what to try"},
      {kExitUsage, "the command line is wrong"},
      {kExitInterrupted, "stopped by SIGTERM in a clean state: run the same command again to go on"},
      {kExitSigint, "stopped by Ctrl-C in a clean state"},
  };
  for (const ExitStatus& row : extra) {
    const auto same = [&](const ExitStatus& other) { return other.code == row.code; };
    if (const auto at = std::find_if(rows.begin(), rows.end(), same); at != rows.end()) {
      *at = row;
    } else {
      rows.push_back(row);
    }
  }
  std::sort(rows.begin(), rows.end(), [](const ExitStatus& a, const ExitStatus& b) { return a.code < b.code; });
  return rows;
}

}  // namespace imgpack::cli
