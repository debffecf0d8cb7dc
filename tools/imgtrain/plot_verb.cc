// imgtrain plot: the curves of runs as pictures.
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <iostream>

#include "engine/report/portable/run_charts.h"
#include "engine/train/run/json_text.h"
#include "format/error.h"
#include "format/file.h"
#include "tools/cli/arguments.h"
#include "tools/cli/run_tool.h"
#include "tools/imgtrain/verbs.h"

namespace imgtrain {
namespace {

namespace cli = imgpack::cli;
using imgpack::Error;
using imgpack::ErrorKind;

int run(const cli::Arguments& arguments) {
  const std::vector<std::string> folders = arguments.positionals("RUN");
  if (folders.size() > kMaxChartedRuns) {
    throw Error(ErrorKind::kUsage, "expected at most " + std::to_string(kMaxChartedRuns) + " runs, found " +
                                       std::to_string(folders.size()));
  }
  std::filesystem::path out;
  if (const auto given = arguments.find("out")) {
    out = *given;
  } else if (folders.size() == 1) {
    out = std::filesystem::path(folders.front()) / "plots";
  } else {
    throw Error(ErrorKind::kUsage, "--out: expected a folder for the charts of several runs, found nothing");
  }
  imgpack::FileSystem& fs = imgpack::posix_file_system();
  std::vector<RunRecord> runs;
  for (const std::string& folder : folders) {
    runs.push_back(read_run(fs, folder));
    if (runs.back().epochs.empty() && runs.back().evaluations.empty())
      throw Error(ErrorKind::kInvalidInput, "this run has not finished an epoch yet: there is nothing to draw", folder);
  }
  const std::vector<std::filesystem::path> files = draw_charts(fs, run_charts(runs), out);
  if (arguments.has("json")) {
    boost::json::array names;
    for (const std::filesystem::path& file : files) names.push_back(boost::json::value(file.string()));
    std::cout << compact_json(boost::json::object{{"message_type", "plots"}, {"files", std::move(names)}}) << "\n";
  } else {
    for (const std::filesystem::path& file : files) std::cout << file.string() << "\n";
  }
  return cli::kExitOk;
}

}  // namespace

cli::Verb plot_verb() {
  cli::Verb verb;
  verb.name = "plot";
  verb.summary = "draw the curves of one run or of several";
  verb.description =
      "Draws loss, top-1, top-5, learning rate, throughput, the time of a step by stages and the shares of the input "
      "side as PNG and SVG, each by itself and all in overview.png and overview.svg. Several runs share their charts: "
      "a colour each, training dashed, validation solid. A run in progress is drawn as far as it has come. Every run "
      "does this for itself when it ends (plots/ in its folder).\n\n"
      "gnuplot draws; it must be installed.";
  verb.positionals = {{"RUN", "Run folders, 12 at most.", true, true}};
  verb.options = {{.name = "out",
                   .value = "DIR",
                   .help = "Where the pictures go: plots/ of the run without it; required for several."},
                  cli::json_option()};
  verb.examples = {{"imgtrain plot runs/r1", "runs/r1/plots/loss.png and the others"},
                   {"imgtrain plot runs/r1 runs/r2 --out comparison", "two runs beside one another"}};
  verb.exit_status = cli::usual_exit_status({{4, "metrics.jsonl of a run is damaged"}});
  verb.run = run;
  return verb;
}

}  // namespace imgtrain
