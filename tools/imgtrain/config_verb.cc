// imgtrain config: what a command line comes to, without training.
#include <iostream>

#include "engine/train/run/json_text.h"
#include "tools/cli/arguments.h"
#include "tools/cli/run_tool.h"
#include "tools/imgtrain/config_options.h"
#include "tools/imgtrain/verbs.h"

namespace imgtrain {
namespace {

namespace cli = imgpack::cli;

int run(const cli::Arguments& arguments) {
  if (arguments.has("schema")) {
    std::cout << run_config_schema();
    return cli::kExitOk;
  }
  const ResolvedConfig resolved = resolve_arguments(arguments);
  std::cout << (arguments.has("list") ? describe(resolved) : pretty_json(to_json(resolved.values)));
  return cli::kExitOk;
}

}  // namespace

cli::Verb config_verb() {
  cli::Verb verb;
  verb.name = "config";
  verb.summary = "print the configuration that a command line comes to";
  verb.description =
      "Resolves recipe, file and options as training would, checks them, and prints the result as JSON, which --config "
      "reads.";
  verb.options = layer_options();
  verb.options.push_back(
      {.name = "list", .value = "", .help = "Print a list instead, with the origin of every value."});
  verb.options.push_back(
      {.name = "schema", .value = "", .help = "Print the JSON Schema of configurations and nothing else."});
  cli::append(verb.options, config_options());
  verb.examples = {{"imgtrain config --recipe fast --batch 512 > my.json", "a file to change and to give to --config"}};
  verb.exit_status = cli::usual_exit_status();
  verb.run = run;
  return verb;
}

}  // namespace imgtrain
