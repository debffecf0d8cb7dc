// imgtrain eval: the weights of a run or of a file, measured on a split.
#include <cstdio>
#include <iostream>

#include "engine/train/run/json_text.h"
#include "engine/train/trainer.h"
#include "tools/cli/arguments.h"
#include "tools/cli/console.h"
#include "tools/cli/run_tool.h"
#include "tools/cli/stop_signals.h"
#include "tools/imgtrain/config_options.h"
#include "tools/imgtrain/console_listener.h"
#include "tools/imgtrain/verbs.h"

namespace imgtrain {
namespace {

namespace cli = imgpack::cli;

void print_result(const EvaluateOutcome& outcome, bool json) {
  const Totals& totals = outcome.totals;
  if (json) {
    const boost::json::object line{{"message_type", "evaluation"},      {"split", outcome.split},
                                   {"images", totals.samples},          {"loss", totals.loss()},
                                   {"accuracy", totals.top1_percent()}, {"accuracy_top5", totals.top5_percent()},
                                   {"seconds", totals.seconds},         {"model", outcome.model},
                                   {"classes", outcome.classes},        {"weights", outcome.weights.string()}};
    std::cout << compact_json(line) << "\n";
    return;
  }
  char text[160];
  std::snprintf(text, sizeof(text), "loss %.4f  top-1 %.2f %%  top-5 %.2f %%", totals.loss(), totals.top1_percent(),
                totals.top5_percent());
  std::cout << outcome.split << ": " << totals.samples << " images  " << text << "\n";
}

int run(const cli::Arguments& arguments) {
  EvaluateRequest request;
  request.shards = arguments.text("shards");
  request.checkpoint = arguments.text("checkpoint");
  request.split = arguments.find("split").value_or("");
  request.overrides = flags_layer(arguments);
  ConsoleListener listener(cli::console(), arguments.has("quiet"));
  const EvaluateOutcome outcome = evaluate(imgpack::posix_file_system(), request, listener);
  if (outcome.stopped) cli::throw_if_stopped("nothing was written");
  print_result(outcome, arguments.has("json"));
  return cli::kExitOk;
}

}  // namespace

cli::Verb eval_verb() {
  cli::Verb verb;
  verb.name = "eval";
  verb.summary = "measure loss, top-1 and top-5 of a trained model";
  verb.description =
      "Evaluates on every image of a split exactly once: short side resized to --eval-resize, centre crop of "
      "--eval-size. The loss is cross-entropy without smoothing, as a mean per image.";
  verb.options = {
      {.name = "checkpoint",
       .value = "RUN|FILE",
       .help = "A run folder (its final weights, else its newest checkpoint) or a .safetensors file with torchvision's "
               "names. Required."},
      {.name = "split", .value = "NAME", .help = "Split to measure on; the run's own without it."},
      cli::json_option(),
      cli::quiet_option(),
  };
  const std::vector<std::string> fields = {"shards",    "eval_size",  "eval_resize",   "eval_crop_ratio",
                                           "eval_flip", "eval_batch", "interpolation", "precision",
                                           "device",    "threads",    "input_threads", "slots",
                                           "log_seconds"};
  for (cli::Option& option : config_options(fields)) {
    option.default_value.clear();  // Those of the run, not of an empty configuration.
    option.group.clear();
    verb.options.push_back(std::move(option));
  }
  verb.examples = {
      {"imgtrain eval --shards DIR --checkpoint runs/r1", "the result of a run"},
      {"imgtrain eval --shards DIR --checkpoint resnet50.safetensors --eval-resize 232", "weights of another program"}};
  verb.exit_status = cli::usual_exit_status(
      {{4, "shards or weights are damaged"}, {5, "shards of a version that this build does not read"}});
  verb.run = run;
  return verb;
}

}  // namespace imgtrain
