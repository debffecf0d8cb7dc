// imgtrain schedule: the learning rate of every step, before anything is paid for.
#include <iostream>

#include "engine/train/run/schedule.h"
#include "tools/cli/arguments.h"
#include "tools/cli/run_tool.h"
#include "tools/imgtrain/config_options.h"
#include "tools/imgtrain/verbs.h"

namespace imgtrain {
namespace {

namespace cli = imgpack::cli;

int run(const cli::Arguments& arguments) {
  const ResolvedConfig resolved = resolve_arguments(arguments);
  const uint64_t images = arguments.number("images", 1, uint64_t{1} << 40);
  const uint64_t stride = arguments.number("stride", 1, uint64_t{1} << 40);
  const auto batch = static_cast<uint64_t>(resolved.values.batch);
  const uint64_t full = images / batch;
  // A set smaller than a batch is one batch.
  const uint64_t batches = resolved.values.drop_last && full > 0 ? full : (images + batch - 1) / batch;
  std::cout << schedule_csv(LrSchedule(resolved.values, batches), stride);
  return cli::kExitOk;
}

}  // namespace

cli::Verb schedule_verb() {
  cli::Verb verb;
  verb.name = "schedule";
  verb.summary = "print the learning rate and momentum of every step";
  verb.description = "Prints CSV: step, epoch, learning_rate, momentum.";
  verb.options = layer_options();
  verb.options.push_back(
      {.name = "images", .value = "N", .help = "Images in the training split.", .default_value = "1281167"});
  verb.options.push_back({.name = "stride", .value = "N", .help = "Print every Nth step.", .default_value = "1"});
  cli::append(verb.options, config_options());
  verb.examples = {{"imgtrain schedule --recipe reference --stride 715", "the rate at the start of every epoch"}};
  verb.exit_status = cli::usual_exit_status();
  verb.run = run;
  return verb;
}

}  // namespace imgtrain
