// imgtrain summary: what a model costs, layer by layer, before anything is built or trained.
#include <iostream>

#include "engine/model/portable/summary.h"
#include "tools/cli/arguments.h"
#include "tools/cli/run_tool.h"
#include "tools/imgtrain/config_options.h"
#include "tools/imgtrain/verbs.h"

namespace imgtrain {
namespace {

namespace cli = imgpack::cli;

int bytes_per_number(Precision precision) {
  switch (precision) {
    case Precision::kBf16:
    case Precision::kFp16:
      return 2;
    case Precision::kFp64:
      return 8;
    case Precision::kFp32:
      break;
  }
  return 4;
}

int run(const cli::Arguments& arguments) {
  const RunConfig config = resolve_arguments(arguments).values;
  ResNetOptions options;
  options.depth = static_cast<int>(config.depth);
  options.num_classes = static_cast<int64_t>(arguments.number("classes", 1, 1'000'000));
  options.stem = config.stem;
  options.average_downsample = config.average_downsample;
  options.blurpool = config.blurpool;
  const auto size = static_cast<int64_t>(arguments.number("size", 1, 65'536));
  const ModelSummary summary = summarize(options, size, size, bytes_per_number(config.precision));
  if (arguments.has("json")) {
    std::cout << to_json(summary) << "\n";
  } else {
    std::cout << to_text(summary);
  }
  return cli::kExitOk;
}

}  // namespace

cli::Verb summary_verb() {
  cli::Verb verb;
  verb.name = "summary";
  verb.summary = "list a model's layers, parameters, multiply-adds and memory";
  verb.description =
      "Prints a row for every layer (output shape, parameters, multiply-adds) and the totals, in torchsummary's form "
      "and by its definitions: sizes are MiB of 32-bit numbers for one image. Memory traffic is an estimate: what "
      "one image moves to and from memory at --precision, with no layers fused. Nothing is built for it.";
  verb.options = layer_options();
  verb.options.push_back(
      {.name = "size", .value = "PIXELS", .help = "Pixels per side of the image.", .default_value = "224"});
  verb.options.push_back({.name = "classes", .value = "N", .help = "Classes.", .default_value = "1000"});
  verb.options.push_back(cli::json_option());
  for (cli::Option& option : config_options({"model", "stem", "average_downsample", "blurpool", "precision"})) {
    option.group.clear();
    verb.options.push_back(std::move(option));
  }
  verb.examples = {{"imgtrain summary", "ResNet-50 at 224 pixels"},
                   {"imgtrain summary --config runs/r1/config.json --size 176", "the model of a run"}};
  verb.exit_status = cli::usual_exit_status();
  verb.run = run;
  return verb;
}

}  // namespace imgtrain
