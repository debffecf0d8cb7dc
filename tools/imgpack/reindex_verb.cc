#include <iostream>
#include <memory>

#include "format/ingest/reindex.h"
#include "format/ingest/thread_limit.h"
#include "format/strict_json.h"
#include "tools/cli/console.h"
#include "tools/cli/progress.h"
#include "tools/cli/run_tool.h"
#include "tools/cli/stop_signals.h"
#include "tools/cli/units.h"
#include "tools/imgpack/pack_options.h"
#include "tools/imgpack/verbs.h"

namespace imgpack {
namespace {

using ingest::ReindexOutcome;
using ingest::ReindexResult;

const char* outcome_name(ReindexOutcome outcome) {
  switch (outcome) {
    case ReindexOutcome::kDone:
      return "reindexed";
    case ReindexOutcome::kResumed:
      return "resumed";
    case ReindexOutcome::kAlreadyThere:
      return "already-there";
  }
  return "?";
}

void print_json(const std::string& dataset, const std::string& index, const ReindexResult& result) {
  std::cout << "{\"message_type\": \"reindex\", \"outcome\": \"" << outcome_name(result.outcome)
            << "\", \"dataset\": " << json_quote(dataset)
            << ", \"dataset_id\": " << json_quote(result.manifest.dataset_id)
            << ", \"entropy_index\": " << json_quote(index) << ", \"records\": " << result.records
            << ", \"with_entropy_index\": " << result.with_index << ", \"exit_status\": 0}\n";
}

void print_text(const std::string& dataset, const std::string& index, const ReindexResult& result) {
  std::cout << dataset << ": "
            << (result.outcome == ReindexOutcome::kAlreadyThere ? "had this entropy index before, left alone"
                                                                : "entropy index written anew")
            << " (" << index << "), in " << cli::format_count(result.with_index) << " of "
            << cli::format_count(result.records) << " records; dataset " << result.manifest.dataset_id << "\n";
}

int run_reindex(const cli::Arguments& arguments) {
  const std::string dataset = arguments.positional("DIR"), index = arguments.text("entropy-index");
  ingest::ReindexOptions options;
  options.entropy_index_mcus = read_entropy_index(arguments);
  const ingest::ThreadLimit threads(static_cast<uint32_t>(arguments.number("threads", 0, 1024)));
  const bool quiet = arguments.has("quiet");
  std::unique_ptr<cli::Progress> progress;
  ingest::ReindexCallbacks callbacks;
  callbacks.on_note = [&](const std::string& note) {
    if (!quiet) cli::console().say(note);
  };
  callbacks.on_start = [&](uint64_t records, uint64_t done) {
    cli::ProgressOptions progress_options;
    progress_options.title = "reindex";
    progress_options.unit = "records";
    progress_options.total = records;
    progress_options.done_before = done;
    progress_options.quiet = quiet;
    progress = std::make_unique<cli::Progress>(cli::console(), progress_options);
  };
  callbacks.on_record = [&](uint64_t records, uint64_t bytes) { progress->advance(records, bytes); };
  const ReindexResult result = ingest::reindex(posix_file_system(), dataset, options, callbacks, cli::stop_flag());
  if (progress) progress->finish();
  arguments.has("json") ? print_json(dataset, index, result) : print_text(dataset, index, result);
  return cli::kExitOk;
}

}  // namespace

cli::Verb reindex_verb() {
  cli::Verb verb;
  verb.name = "reindex";
  verb.summary = "Add, replace or remove the entropy indexes of a dataset";
  verb.description =
      "Entropy indexes are entry points into each JPEG's Huffman stream; with them the fast decoder decodes only what "
      "a "
      "crop needs. Images, names, labels, order and the dataset id stay as they are. Each index is proved by "
      "decoding through it.\n\n"
      "Shards are replaced one by one, each whole or not at all. Meanwhile reindex.json stands in for manifest.json "
      "and "
      "nothing can read the dataset: do not run it under a training. After an interruption the same command goes on.";
  verb.positionals = {{.name = "DIR", .help = "The folder of shards."}};
  verb.options = {
      {.name = "entropy-index",
       .value = "N",
       .help = "Every N MCUs, `row` for one per MCU row, or `none` to remove them.",
       .default_value = "16"},
      cli::threads_option(),
      cli::quiet_option(),
      cli::json_option(),
  };
  verb.examples = {{"imgpack reindex imagenet.shards", "Entry points every 16 MCUs, the default of build."},
                   {"imgpack reindex imagenet.shards --entropy-index none", "As small as can be: 1.2 % less."}};
  verb.exit_status = cli::usual_exit_status({{cli::kExitOk, "done, or there was nothing to do"},
                                             {cli::kExitDamage, "a record is damaged; its shard was left alone"},
                                             {cli::kExitUnsupportedVersion, "the dataset is of a newer version"},
                                             {cli::kExitInterrupted, "stopped by SIGTERM; run again to go on"},
                                             {cli::kExitSigint, "stopped by Ctrl-C; run again to go on"}});
  verb.run = run_reindex;
  return verb;
}

}  // namespace imgpack
