// imgtrain watch: a page that shows a run, while it trains or afterwards.
#include "engine/serve/http_server.h"
#include "engine/serve/run_view.h"
#include "engine/serve/watch_api.h"
#include "engine/train/run/estimate.h"
#include "format/error.h"
#include "format/file.h"
#include "tools/cli/arguments.h"
#include "tools/cli/run_tool.h"
#include "tools/cli/stop_signals.h"
#include "tools/imgtrain/server_options.h"
#include "tools/imgtrain/verbs.h"

namespace imgtrain {
namespace {

namespace cli = imgpack::cli;
using imgpack::Error;
using imgpack::ErrorKind;

std::optional<double> dollars_per_hour(const cli::Arguments& arguments) {
  if (arguments.has("price")) return arguments.real("price", 0, 100'000);
  const auto instance = arguments.find("instance");
  if (!instance) return std::nullopt;
  const InstancePrice price = price_of(embedded_prices(), *instance);
  const std::optional<double> found = arguments.has("on-demand") || !price.spot ? price.on_demand : price.spot;
  if (!found) {
    throw Error(ErrorKind::kUsage, "--instance: no price of '" + *instance + "' in scripts/aws/prices.tsv", {}, {},
                "--price DOLLARS says it");
  }
  return found;
}

int run(const cli::Arguments& arguments) {
  const std::filesystem::path folder = arguments.positional("RUN");
  serve::RunView view(imgpack::posix_file_system(), folder, dollars_per_hour(arguments));
  serve::WatchApi api(view);
  serve::ServerMetrics metrics;
  serve::HttpServer server(api, metrics, http_limits(arguments), arguments.text("address"), port_of(arguments));
  server.start();
  announce(arguments, server, "watching " + folder.string());
  wait_for_stop();
  server.stop(std::chrono::seconds(1));
  cli::throw_if_stopped("nothing was changed");
  return cli::kExitOk;
}

}  // namespace

cli::Verb watch_verb() {
  cli::Verb verb;
  verb.name = "watch";
  verb.summary = "watch a run on a page: curves, pace, use of the machine, cost";
  verb.description =
      "Starts an HTTP server on this machine alone and prints its URL. The page shows a running or finished run: loss, "
      "accuracy, learning rate and images a second, where a step's time goes, how busy cores and GPUs are, how long it "
      "will still take, dollars so far, and the last lines that were said. It reads the run folder and changes "
      "nothing; "
      "/v1/run has the same as JSON.\n\n"
      "`imgtrain --dashboard` starts the same page from inside a training.";
  verb.positionals = {{.name = "RUN", .help = "A run folder."}};
  verb.options = {
      {.name = "instance",
       .value = "TYPE",
       .help =
           "Machine whose price counts the dollars (g5.12xlarge), at its spot price where scripts/aws/prices.tsv has "
           "one."},
      {.name = "on-demand", .value = "", .help = "Take its on-demand price instead."},
      {.name = "price", .value = "DOLLARS", .help = "Dollars an hour, instead of --instance."},
  };
  cli::append(verb.options, server_options("8081"));
  verb.options.push_back(cli::json_option());
  verb.options.push_back(cli::quiet_option());
  verb.examples = {{"imgtrain watch runs/r1", "a page on http://127.0.0.1:8081/"},
                   {"imgtrain watch runs/r1 --instance g5.12xlarge", "with what it costs"}};
  verb.exit_status = cli::usual_exit_status();
  verb.run = run;
  return verb;
}

}  // namespace imgtrain
