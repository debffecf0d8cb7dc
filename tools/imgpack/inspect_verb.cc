#include <iostream>

#include "format/inspect.h"
#include "format/remote/remote_file_system.h"
#include "tools/cli/arguments.h"
#include "tools/imgpack/verbs.h"

namespace imgpack {
namespace {

int run_inspect(const cli::Arguments& arguments) {
  const Dataset dataset = Dataset::open(remote::any_file_system(), arguments.positional("DIR"));
  const DatasetSummary summary = summarize(dataset);
  std::cout << (arguments.has("json") ? to_json(summary) : to_text(summary));
  return 0;
}

}  // namespace

cli::Verb inspect_verb() {
  cli::Verb verb;
  verb.name = "inspect";
  verb.summary = "Show what is in a dataset";
  verb.description =
      "Prints splits, sizes, classes, options and what was odd, from the manifest and the index alone: no shard is "
      "read.";
  verb.positionals = {{.name = "DIR", .help = "The folder of shards, or the URL of one."}};
  verb.options = {cli::json_option()};
  verb.examples = {{"imgpack inspect imagenet.shards", "A page for people."},
                   {"imgpack inspect imagenet.shards --json | jq .splits", "The same for scripts."}};
  verb.exit_status = cli::usual_exit_status(
      {{4, "the manifest or the index is damaged"}, {5, "the dataset is of a version that this build does not read"}});
  verb.run = run_inspect;
  return verb;
}

}  // namespace imgpack
