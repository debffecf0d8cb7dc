// imgtrain batch-find: how many images one pass can take on this device.
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <iostream>

#include "engine/train/run/json_text.h"
#include "engine/train/trial.h"
#include "format/dataset.h"
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

boost::json::object as_json(const BatchFinding& finding) {
  boost::json::array trials;
  for (const BatchTrial& trial : finding.trials) {
    trials.push_back(boost::json::object{{"batch", trial.batch},
                                         {"fits", trial.fits},
                                         {"peak_bytes", trial.peak_bytes},
                                         {"images_per_second", trial.images_per_second}});
  }
  return {{"message_type", "batch"},
          {"largest", finding.largest},
          {"limit_bytes", finding.limit_bytes},
          {"estimated", finding.estimated},
          {"trials", std::move(trials)}};
}

void print(const BatchFinding& finding) {
  for (const BatchTrial& trial : finding.trials) {
    char rate[48];
    std::snprintf(rate, sizeof(rate), "%.1f images/s", trial.images_per_second);
    std::cout << "batch " << trial.batch << ": "
              << (trial.fits ? cli::format_bytes(trial.peak_bytes) + ", " + rate : std::string("does not fit")) << "\n";
  }
  std::cout << "largest: " << finding.largest << " images in one pass, within "
            << cli::format_bytes(finding.limit_bytes)
            << (finding.estimated ? " (estimated from the memory of smaller ones)\n" : "\n")
            << "give it as --bn-group; --batch may be any multiple, its groups run one after the other\n";
}

int run(const cli::Arguments& arguments) {
  const ResolvedConfig resolved = resolve_arguments(arguments);
  const uint64_t limit = arguments.find("memory") ? arguments.bytes("memory") : 0;
  const auto most = static_cast<int64_t>(arguments.number("most", 1, 1 << 20));
  auto classes = static_cast<int64_t>(arguments.number("classes", 1, 1 << 24));
  if (!resolved.values.shards.empty()) {
    classes = static_cast<int64_t>(
        imgpack::Dataset::open(data_files(arguments), resolved.values.shards).manifest().classes.size());
  }
  ConsoleListener listener(cli::console(), arguments.has("quiet"));
  const BatchFinding finding = find_batch(resolved.values, classes, limit, most, listener);
  cli::throw_if_stopped("nothing was written");
  if (arguments.has("json")) {
    std::cout << compact_json(as_json(finding)) << "\n";
  } else {
    print(finding);
  }
  return finding.largest > 0 ? cli::kExitOk : cli::kExitFailed;
}

}  // namespace

cli::Verb batch_find_verb() {
  cli::Verb verb;
  verb.name = "batch-find";
  verb.summary = "find the largest batch that fits the device";
  verb.description =
      "Trains two steps of made-up images at growing sizes with the run's model, image size and arithmetic. On a CUDA "
      "device until its memory is exhausted, then halving to the largest that fits; on a CPU it stops before the "
      "memory limit and says where that would be reached.";
  verb.options = layer_options();
  verb.options.push_back({.name = "memory",
                          .value = "BYTES",
                          .help = "Memory limit on a CPU; without it what is available now. A tenth is kept free."});
  verb.options.push_back({.name = "most", .value = "N", .help = "Try no more than this.", .default_value = "4096"});
  verb.options.push_back({.name = "classes",
                          .value = "N",
                          .help = "Classes of the model where no --shards are given.",
                          .default_value = "1000"});
  verb.options.push_back(cli::json_option());
  verb.options.push_back(cli::quiet_option());
  cli::append(verb.options, config_options());
  cli::append(verb.options, url_options());
  verb.examples = {{"imgtrain batch-find --recipe reference", "on the machine that will train"}};
  verb.exit_status = cli::usual_exit_status({{1, "failed, or not even the smallest fits"}});
  verb.run = run;
  return verb;
}

}  // namespace imgtrain
