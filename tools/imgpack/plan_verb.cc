#include <iostream>

#include "format/ingest/pack_plan.h"
#include "format/ingest/thread_limit.h"
#include "tools/cli/units.h"
#include "tools/imgpack/pack_options.h"
#include "tools/imgpack/source_step.h"
#include "tools/imgpack/verbs.h"

namespace imgpack {
namespace {

int run_plan(const cli::Arguments& arguments) {
  const PackCommand command = read_pack_command(arguments);
  const ingest::ThreadLimit threads(command.threads);
  const ingest::LabeledSource source = look_at_source(command);
  const ingest::PackPlan plan = ingest::make_plan(source, command.build.pack);
  if (command.json) {
    std::cout << "{\"message_type\": \"plan\", \"classes\": " << source.classes.classes.size() << ", \"splits\": [";
    for (const ingest::PlannedSplit& split : plan.splits) {
      std::cout << (&split == &plan.splits.front() ? "" : ", ") << "{\"name\": \"" << split.name
                << "\", \"images\": " << split.order.size() << ", \"source_bytes\": " << split.source_bytes
                << ", \"shards\": " << split.shards() << "}";
    }
    std::cout << "]}\n";
    return 0;
  }
  for (const ingest::PlannedSplit& split : plan.splits) {
    std::cout << split.name << ": " << cli::format_count(split.order.size()) << " images, "
              << cli::format_bytes(split.source_bytes) << ", " << cli::format_count(split.shards())
              << " shards of about " << cli::format_bytes(split.source_bytes / split.shards()) << "\n";
  }
  return 0;
}

}  // namespace

cli::Verb plan_verb() {
  cli::Verb verb;
  verb.name = "plan";
  verb.summary = "Show what build would do, and write nothing";
  verb.description =
      "Looks at the source, reads and compares its labels, and prints how many shards of which size there would be.";
  verb.positionals = pack_positionals();
  verb.options = pack_options();
  verb.examples = {{"imgpack plan /mnt/data/imagenet --shard-size 1GiB", "How many shards would that be?"}};
  verb.exit_status = cli::usual_exit_status();
  verb.run = run_plan;
  return verb;
}

}  // namespace imgpack
