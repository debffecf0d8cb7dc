// imgtrain report: one page that says how a run went, where it is wrong, and how to do it again.
#include <iostream>

#include "engine/report/run_report.h"
#include "engine/train/run/json_text.h"
#include "format/error.h"
#include "format/file.h"
#include "tools/cli/arguments.h"
#include "tools/cli/console.h"
#include "tools/cli/output_file.h"
#include "tools/cli/report_signal.h"
#include "tools/cli/run_tool.h"
#include "tools/cli/stop_signals.h"
#include "tools/cli/units.h"
#include "tools/imgtrain/config_options.h"
#include "tools/imgtrain/console_listener.h"
#include "tools/imgtrain/data_files.h"
#include "tools/imgtrain/verbs.h"

namespace imgtrain {
namespace {

namespace cli = imgpack::cli;

int run(const cli::Arguments& arguments) {
  ReportRequest request;
  request.run = arguments.positional("RUN");
  request.shards = arguments.find("shards").value_or("");
  request.split = arguments.find("split").value_or("");
  request.best = arguments.has("best");
  request.overrides = flags_layer(arguments);
  request.images = arguments.number("images", 0, 200);
  request.cam_layer = arguments.text("layer");
  request.instance = arguments.find("instance").value_or("");
  if (arguments.find("price")) request.price = arguments.real("price", 0.0001, 1e6);
  request.created_by = std::string("imgtrain ") + IMGPACK_VERSION;
  const std::filesystem::path out = arguments.find("out").value_or((request.run / "report.html").string());
  cli::catch_report_signal();
  ConsoleListener listener(cli::console(), arguments.has("quiet"));
  imgpack::FileSystem& fs = data_files(arguments);
  cli::require_folder_of(fs, out);
  if (const auto json = arguments.find("json")) cli::require_folder_of(fs, *json);
  const ReportOutcome outcome = report(fs, request, out, listener);
  if (outcome.stopped) cli::throw_if_stopped("nothing was written");
  if (const auto json = arguments.find("json")) imgpack::publish(fs, *json, pretty_json(outcome.numbers));
  imgpack::publish(fs, out, outcome.page);
  std::cout << out.string() << ": " << cli::format_bytes(outcome.page.size()) << "\n";
  return cli::kExitOk;
}

}  // namespace

cli::Verb report_verb() {
  cli::Verb verb;
  verb.name = "report";
  verb.summary = "write a page on a run: curves, mistakes, Grad-CAM, cost";
  verb.description =
      "Evaluates the weights of a run on its validation split and writes one HTML file that needs nothing else: "
      "curves, the result beside the recipe's expectation, accuracy of every class, the confusion matrix and the most "
      "confused pairs, calibration over 15 bins, the wrong images that the model was surest of, each with Grad-CAM, "
      "where ReaL labels disagree, where the time went, what it cost, and the command that makes it again.\n\n"
      "Pictures are at most 256 pixels a side and about 25 KB each: with 24 images the page is about 2 MB. A run that "
      "is not finished is reported from its newest checkpoint.";
  verb.positionals = {{"RUN", "The run folder.", true, false}};
  verb.options = {
      {.name = "out", .value = "FILE", .help = "The page to write: report.html in the run folder without it."},
      {.name = "json", .value = "FILE", .help = "Write the same numbers as JSON too."},
      {.name = "images",
       .value = "N",
       .help = "Wrong images to show, and as many ReaL disagreements; 200 at most.",
       .default_value = "24"},
      {.name = "layer",
       .value = "NAME",
       .help = "Stage that Grad-CAM looks at; earlier ones are finer.",
       .default_value = "layer4",
       .choices = {"layer1", "layer2", "layer3", "layer4"}},
      {.name = "split", .value = "NAME", .help = "Split to measure on; the run's own without it."},
      {.name = "best",
       .value = "",
       .help = "The checkpoint that did best in its evaluations, instead of the final weights."},
      {.name = "instance",
       .value = "TYPE",
       .help = "Machine that the run was trained on, as in scripts/aws/prices.tsv: g5.12xlarge. For the cost."},
      {.name = "price", .value = "DOLLARS", .help = "What an hour cost, where no table knows it."},
      cli::quiet_option(),
  };
  const std::vector<std::string> fields = {
      "shards", "eval_size", "eval_resize",   "eval_crop_ratio", "eval_flip",     "eval_batch", "precision",
      "device", "threads",   "input_threads", "cache_dir",       "on_bad_record", "log_seconds"};
  cli::append(verb.options, run_options(fields));
  cli::append(verb.options, url_options());
  verb.examples = {{"imgtrain report runs/r1", "runs/r1/report.html"},
                   {"imgtrain report runs/r1 --layer layer3 --images 100 --json r1.json",
                    "more images, a finer map, the numbers for a script"},
                   {"imgtrain report runs/r1 --instance g5.12xlarge", "with the cost on a known machine"}};
  verb.exit_status = cli::usual_exit_status(
      {{4, "shards, weights or metrics.jsonl are damaged"}, {5, "shards of a version that this build does not read"}});
  verb.run = run;
  return verb;
}

}  // namespace imgtrain
