// imgtrain lr-find: which learning rate a training can bear, from one short run of growing rates.
#include <boost/json/value.hpp>
#include <iostream>

#include "engine/train/run/gnuplot.h"
#include "engine/train/run/json_text.h"
#include "engine/train/trial.h"
#include "format/error.h"
#include "format/file.h"
#include "tools/cli/arguments.h"
#include "tools/cli/console.h"
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

void draw(const LrCurve& curve, const std::optional<LrSuggestion>& suggestion, const std::filesystem::path& target) {
  const std::string suffix = target.extension().string();
  if (suffix != ".png" && suffix != ".svg") {
    throw imgpack::Error(imgpack::ErrorKind::kUsage,
                         "--plot: expected a file that ends in .png or .svg, found '" + target.string() + "'");
  }
  plot(imgpack::posix_file_system(), target, [&](const std::filesystem::path& temporary) {
    return lr_plot_script(curve, suggestion, temporary, suffix == ".svg");
  });
}

void print(const LrCurve& curve, const std::optional<LrSuggestion>& suggestion, bool json) {
  if (json) {
    boost::json::object line{{"message_type", "learning_rate_range"}, {"steps", curve.points().size()}};
    if (suggestion) {
      line["suggestion"] = suggestion->lr;
      line["lowest_loss_at"] = suggestion->lowest;
      line["tenth_of_lowest"] = suggestion->tenth;
    }
    std::cout << compact_json(line) << "\n";
    return;
  }
  if (!suggestion) {
    std::cout << "no suggestion: the loss did not fall within " << curve.points().size()
              << " steps; try more --steps or a lower --from\n";
    return;
  }
  char text[200];
  std::snprintf(text, sizeof(text),
                "suggestion: --lr %.2g (the loss falls fastest there)\nlowest loss at %.2g; a tenth of that is %.2g\n",
                suggestion->lr, suggestion->lowest, suggestion->tenth);
  std::cout << text;
}

int run(const cli::Arguments& arguments) {
  const ResolvedConfig resolved = resolve_arguments(arguments);
  LrRange range;
  range.from = arguments.real("from", 1e-12, 1e6);
  range.to = arguments.real("to", 1e-12, 1e6);
  range.steps = arguments.number("steps", 10, 1'000'000);
  range.smoothing = arguments.real("smoothing", 0, 0.9999);
  if (range.from >= range.to) throw imgpack::Error(imgpack::ErrorKind::kUsage, "--from: expected a rate below --to");
  ConsoleListener listener(cli::console(), arguments.has("quiet"));
  const auto curve = find_learning_rate(data_files(arguments), resolved.values, range, listener);
  if (!curve) cli::throw_if_stopped("nothing was written");
  const auto suggestion = suggest(*curve);
  if (const auto path = arguments.find("csv"))
    imgpack::publish(imgpack::posix_file_system(), *path, lr_curve_csv(*curve));
  if (const auto path = arguments.find("plot")) draw(*curve, suggestion, *path);
  print(*curve, suggestion, arguments.has("json"));
  return suggestion ? cli::kExitOk : cli::kExitFailed;
}

}  // namespace

cli::Verb lr_find_verb() {
  cli::Verb verb;
  verb.name = "lr-find";
  verb.summary = "find the learning rate that a training can bear";
  verb.description =
      "Trains for some steps with the run's own model, data and optimizer while the rate grows by the same factor "
      "every step, until the loss blows up, and suggests the rate at which the smoothed loss falls fastest. Nothing of "
      "it stays: no run folder is made or touched.";
  verb.options = layer_options();
  verb.options.push_back({.name = "from", .value = "X", .help = "First rate.", .default_value = "1e-06"});
  verb.options.push_back({.name = "to", .value = "X", .help = "Last rate.", .default_value = "1"});
  verb.options.push_back(
      {.name = "steps", .value = "N", .help = "Steps from one to the other.", .default_value = "500"});
  verb.options.push_back({.name = "smoothing",
                          .value = "X",
                          .help = "Weight of the past in the smoothed loss, 0 to 0.9999.",
                          .default_value = "0.95"});
  verb.options.push_back({.name = "csv", .value = "FILE", .help = "Write step, rate, loss and smoothed loss."});
  verb.options.push_back({.name = "plot", .value = "FILE", .help = "Draw the curve: a .png or .svg file (gnuplot)."});
  verb.options.push_back(cli::json_option());
  verb.options.push_back(cli::quiet_option());
  cli::append(verb.options, config_options());
  cli::append(verb.options, url_options());
  verb.examples = {{"imgtrain lr-find --shards DIR --recipe fast --plot lr.png", "look before the run is paid for"}};
  verb.exit_status = cli::usual_exit_status({{1, "failed, or the loss never fell"}});
  verb.run = run;
  return verb;
}

}  // namespace imgtrain
