// imgtrain profile: where a training step spends its time, and how near that is to what the device can do.
#include <iostream>

#include "engine/train/run/json_text.h"
#include "engine/train/trial.h"
#include "tools/cli/arguments.h"
#include "tools/cli/console.h"
#include "tools/cli/run_tool.h"
#include "tools/cli/stop_signals.h"
#include "tools/imgtrain/config_options.h"
#include "tools/imgtrain/console_listener.h"
#include "tools/imgtrain/data_files.h"
#include "tools/imgtrain/verbs.h"

namespace imgtrain {
namespace {

namespace cli = imgpack::cli;

int run(const cli::Arguments& arguments) {
  const ResolvedConfig resolved = resolve_arguments(arguments);
  ProfileOptions options;
  options.rounds = static_cast<int64_t>(arguments.number("rounds", 1, 1000));
  options.steps = static_cast<int64_t>(arguments.number("steps", 0, 100'000));
  options.observed = static_cast<int64_t>(arguments.number("observed", 1, 1000));
  options.classes = static_cast<int64_t>(arguments.number("classes", 1, 1 << 24));
  ConsoleListener listener(cli::console(), arguments.has("quiet"));
  const auto profile = profile_step(data_files(arguments), resolved.values, options, listener);
  if (!profile) cli::throw_if_stopped("nothing was written");
  if (arguments.has("json")) {
    std::cout << compact_json(to_json(*profile)) << "\n";
  } else {
    std::cout << to_text(*profile);
  }
  return cli::kExitOk;
}

}  // namespace

cli::Verb profile_verb() {
  cli::Verb verb;
  verb.name = "profile";
  verb.summary = "show where a training step spends its time, layer by layer";
  verb.description =
      "Trains a few steps of the run's model, batch and arithmetic, on a made-up batch in the device's memory or, with "
      "--shards, on real ones. First rounds of steps are timed as they are; then some with a clock at every layer, "
      "forward and backward; last a copy and a multiplication of matrices, for what this device can do at best.\n\n"
      "The columns GB/s and TFLOP/s are the bytes and operations that follow from a layer's shapes, over its time; "
      "`roofline` is the least time that they could take, as a share of the time they took. Layers with clocks wait "
      "for one another, so that they add up to more than a step of the timed rounds.\n\n"
      "--trace FILE records one more step with its layers for ui.perfetto.dev. On CUDA, NVIDIA's tools see every layer "
      "as an NVTX range.";
  verb.options = layer_options();
  verb.options.push_back({.name = "rounds", .value = "N", .help = "Timed rounds.", .default_value = "5"});
  verb.options.push_back(
      {.name = "steps", .value = "N", .help = "Steps of each round; 0: 20 on CUDA, 1 on a CPU.", .default_value = "0"});
  verb.options.push_back({.name = "observed",
                          .value = "N",
                          .help = "Steps with a clock at every layer; a layer's time is their median.",
                          .default_value = "3"});
  verb.options.push_back({.name = "classes",
                          .value = "N",
                          .help = "Classes of the model where no --shards are given.",
                          .default_value = "1000"});
  verb.options.push_back(cli::json_option());
  verb.options.push_back(cli::quiet_option());
  cli::append(verb.options, config_options());
  cli::append(verb.options, url_options());
  verb.examples = {{"imgtrain profile --recipe fast", "the step of a recipe on the machine that will train"},
                   {"imgtrain profile --recipe fast --no-fused", "with libtorch's separate operations"},
                   {"imgtrain profile --batch 8 --bn-group 8 --train-size 64 --trace step.json",
                    "a small step, and a trace of it for ui.perfetto.dev"}};
  verb.exit_status = cli::usual_exit_status();
  verb.run = run;
  return verb;
}

}  // namespace imgtrain
