// imgtrain recipes: what there is, where it comes from, what it promises.
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <iostream>

#include "engine/train/run/json_text.h"
#include "engine/train/run/recipe.h"
#include "tools/cli/arguments.h"
#include "tools/cli/run_tool.h"
#include "tools/imgtrain/verbs.h"

namespace imgtrain {
namespace {

namespace cli = imgpack::cli;

void print(const Recipe& recipe) {
  std::cout << recipe.name << "\n  " << recipe.summary << "\n  source: " << recipe.source
            << "\n  expected: " << recipe.expected << "\n  reproduced: " << recipe.reproduced << "\n";
}

boost::json::object as_json(const Recipe& recipe) {
  return {{"name", recipe.name},         {"summary", recipe.summary},       {"source", recipe.source},
          {"expected", recipe.expected}, {"reproduced", recipe.reproduced}, {"config", recipe.layer.values}};
}

int run(const cli::Arguments& arguments) {
  const std::string wanted = arguments.positional("NAME");
  if (!wanted.empty()) {
    const Recipe& recipe = find_recipe(wanted);
    if (arguments.has("json")) {
      std::cout << pretty_json(as_json(recipe));
    } else {
      print(recipe);
      std::cout << pretty_json(recipe.layer.values);
    }
    return cli::kExitOk;
  }
  if (arguments.has("json")) {
    boost::json::array all;
    for (const Recipe& recipe : recipes()) all.push_back(as_json(recipe));
    std::cout << pretty_json(all);
  } else {
    for (const Recipe& recipe : recipes()) print(recipe);
  }
  return cli::kExitOk;
}

}  // namespace

cli::Verb recipes_verb() {
  cli::Verb verb;
  verb.name = "recipes";
  verb.summary = "list the recipes";
  verb.description = "Lists the run configurations that are part of this program, or shows one with its options.";
  verb.positionals = {{"NAME", "One recipe only, with its options.", false, false}};
  verb.options = {cli::json_option()};
  verb.examples = {{"imgtrain recipes reference", "one recipe and its options"}};
  verb.exit_status = cli::usual_exit_status();
  verb.run = run;
  return verb;
}

}  // namespace imgtrain
