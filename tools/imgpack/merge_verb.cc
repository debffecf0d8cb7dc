#include <iostream>
#include <memory>

#include "format/error.h"
#include "format/ingest/merge.h"
#include "format/ingest/thread_limit.h"
#include "format/strict_json.h"
#include "tools/cli/arguments.h"
#include "tools/cli/console.h"
#include "tools/cli/progress.h"
#include "tools/cli/run_tool.h"
#include "tools/cli/stop_signals.h"
#include "tools/cli/units.h"
#include "tools/imgpack/verbs.h"

namespace imgpack {
namespace {

class MergeObserver : public ingest::BuildObserver {
 public:
  explicit MergeObserver(bool quiet) : quiet_(quiet) {}
  void on_note(const std::string& note) override {
    if (!quiet_) cli::console().say(note);
  }
  void on_skip(const SkippedSource&) override {}
  void on_start(uint64_t images, uint64_t) override {
    cli::ProgressOptions options;
    options.title = "merge";
    options.total = images;
    options.quiet = quiet_;
    progress_ = std::make_unique<cli::Progress>(cli::console(), options);
  }
  void on_packed(uint64_t images, uint64_t bytes) override { progress_->advance(images, bytes); }
  void finish() {
    if (progress_) progress_->finish();
  }

 private:
  const bool quiet_;
  std::unique_ptr<cli::Progress> progress_;
};

int run_merge(const cli::Arguments& arguments) {
  const std::filesystem::path out = arguments.positional("OUT");
  FileSystem& fs = posix_file_system();
  std::vector<std::filesystem::path> parts;
  for (const std::string& part : arguments.positionals("PART")) parts.emplace_back(part);
  if (parts.empty()) parts = ingest::find_parts(fs, out);
  if (parts.empty()) {
    throw Error(ErrorKind::kInvalidInput, "there is no part to merge: expected " + out.string() + ".part-1-of-N …", {},
                {}, "build them with `imgpack build --part I/N`, or name their folders");
  }
  ingest::MergeOptions options;
  options.move = arguments.has("move");
  MergeObserver observer(arguments.has("quiet"));
  const auto result = ingest::merge_parts(fs, out, parts, options, observer, cli::stop_flag());
  observer.finish();
  if (options.move) {
    // Empty by now, unless something else lies there.
    std::error_code left_alone;
    for (const std::filesystem::path& part : parts) std::filesystem::remove(part, left_alone);
  }
  const Manifest& manifest = result.manifest;
  const bool skipped = !manifest.skipped.empty() && !arguments.has("accept-skipped") &&
                       result.outcome != ingest::BuildOutcome::kAlreadyFinished;
  const int status = skipped ? cli::kExitSomeSkipped : cli::kExitOk;
  uint64_t records = 0;
  for (const SplitInfo& split : manifest.splits) records += split.records;
  if (arguments.has("json")) {
    std::cout << "{\"message_type\": \"merge\", \"dataset\": " << json_quote(out.string())
              << ", \"dataset_id\": " << json_quote(manifest.dataset_id) << ", \"parts\": " << parts.size()
              << ", \"records\": " << records << ", \"skipped\": " << manifest.skipped.size()
              << ", \"exit_status\": " << status << "}\n";
  } else {
    std::cout << out.string() << ": dataset " << manifest.dataset_id << ", " << cli::format_count(records)
              << " images from " << parts.size() << (parts.size() == 1 ? " part" : " parts")
              << (result.outcome == ingest::BuildOutcome::kAlreadyFinished ? " (finished before, left alone)" : "")
              << "\n";
  }
  return status;
}

}  // namespace

cli::Verb merge_verb() {
  cli::Verb verb;
  verb.name = "merge";
  verb.summary = "Join the parts of a build on many hosts";
  verb.description =
      "Takes the folders that `imgpack build --part I/N` made on N hosts and makes the dataset that a single host "
      "would "
      "have made, byte for byte. Every shard is read and compared with its digest on the way. All N parts must be "
      "there, "
      "once each, and of the same source and options.\n\n"
      "The same command again goes on with a merge that was stopped and leaves a finished one alone.";
  verb.positionals = {
      {.name = "OUT", .help = "The folder of the dataset."},
      {.name = "PART",
       .help = "The folders of all parts. Without them: those that lie beside OUT, OUT.part-1-of-N and so on.",
       .required = false,
       .repeatable = true}};
  verb.options = {
      cli::quiet_option(),
      cli::json_option(),
      {.name = "move",
       .value = "",
       .help = "Move the shards instead of copying them, and remove the parts when the dataset is complete. "
               "Needs no room where the parts lie on the disk of OUT."},
      {.name = "accept-skipped",
       .value = "",
       .help = "Exit with 0 even if some images could not be packed when the parts were built."}};
  verb.examples = {
      {"imgpack merge /mnt/data/imagenet.shards", "From /mnt/data/imagenet.shards.part-1-of-8 and so on."}};
  verb.exit_status =
      cli::usual_exit_status({{cli::kExitOk, "done, or finished before"},
                              {cli::kExitSomeSkipped, "done, but some images were skipped by the builds"},
                              {cli::kExitDamage, "a part is damaged"}});
  verb.run = run_merge;
  return verb;
}

}  // namespace imgpack
