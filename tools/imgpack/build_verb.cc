#include <iostream>
#include <memory>
#include <optional>

#include "format/error.h"
#include "format/ingest/builder.h"
#include "format/ingest/folder_source.h"
#include "format/ingest/thread_limit.h"
#include "format/strict_json.h"
#include "tools/cli/console.h"
#include "tools/cli/progress.h"
#include "tools/cli/run_tool.h"
#include "tools/cli/stop_signals.h"
#include "tools/cli/units.h"
#include "tools/imgpack/pack_options.h"
#include "tools/imgpack/relabel_step.h"
#include "tools/imgpack/source_step.h"
#include "tools/imgpack/verbs.h"

namespace imgpack {
namespace {

constexpr uint64_t kSkipsSaid = 20;

class TerminalObserver : public ingest::BuildObserver {
 public:
  explicit TerminalObserver(bool quiet) : quiet_(quiet) {}

  void on_note(const std::string& note) override {
    if (!quiet_) cli::console().say(note);
  }
  void on_skip(const SkippedSource& skipped) override {
    ++skips_;
    if (skips_ <= kSkipsSaid)
      cli::console().warn("skipped " + skipped.split + "/" + skipped.name + ": " + skipped.reason);
    if (skips_ == kSkipsSaid) cli::console().warn("further skipped images are listed in the manifest only");
  }
  void on_start(uint64_t images, uint64_t done) override {
    cli::ProgressOptions options;
    options.title = "build";
    options.total = images;
    options.done_before = done;
    options.quiet = quiet_;
    progress_ = std::make_unique<cli::Progress>(cli::console(), options);
  }
  void on_packed(uint64_t images, uint64_t source_bytes) override { progress_->advance(images, source_bytes); }
  void finish() {
    if (progress_) progress_->finish();
  }

 private:
  const bool quiet_;
  uint64_t skips_ = 0;
  std::unique_ptr<cli::Progress> progress_;
};

const char* outcome_name(ingest::BuildOutcome outcome) {
  switch (outcome) {
    case ingest::BuildOutcome::kBuilt:
      return "built";
    case ingest::BuildOutcome::kResumed:
      return "resumed";
    case ingest::BuildOutcome::kAlreadyFinished:
      return "already-finished";
  }
  return "?";
}

uint64_t bytes_of(const SplitInfo& split) {
  uint64_t bytes = 0;
  for (const ShardSummary& shard : split.shards) bytes += shard.bytes;
  return bytes;
}

int status_of(const PackCommand& command, const ingest::LabeledSource& source, const ingest::BuildResult& result) {
  if (result.outcome == ingest::BuildOutcome::kAlreadyFinished) return cli::kExitOk;
  const bool skipped = !result.manifest.skipped.empty() && !command.accept_skipped;
  const bool missing = !source.missing.empty() && !command.accept_missing;
  return skipped || missing ? cli::kExitSomeSkipped : cli::kExitOk;
}

void print_json(const PackCommand& command, const ingest::LabeledSource& source, const ingest::BuildResult& result,
                int status) {
  std::string text = std::string("{\"message_type\": \"build\", \"outcome\": \"") + outcome_name(result.outcome) +
                     "\", \"dataset\": " + json_quote(command.out.string()) +
                     ", \"dataset_id\": " + json_quote(result.manifest.dataset_id) +
                     ", \"classes\": " + std::to_string(result.manifest.classes.size()) + ", \"splits\": [";
  for (const SplitInfo& split : result.manifest.splits) {
    text += (&split == &result.manifest.splits.front() ? "" : ", ");
    text += "{\"name\": " + json_quote(split.name) + ", \"records\": " + std::to_string(split.records) +
            ", \"shards\": " + std::to_string(split.shards.size()) + ", \"bytes\": " + std::to_string(bytes_of(split)) +
            "}";
  }
  uint64_t missing = 0;
  for (const ingest::MissingImages& one : source.missing) missing += one.missing;
  std::cout << text << "], \"skipped\": " << result.manifest.skipped.size() << ", \"missing\": " << missing
            << ", \"exit_status\": " << status << "}\n";
}

void print_text(const PackCommand& command, const ingest::BuildResult& result) {
  const Manifest& manifest = result.manifest;
  if (result.outcome == ingest::BuildOutcome::kAlreadyFinished) {
    std::cout << command.out.string() << ": finished before with the same options, left alone (dataset "
              << manifest.dataset_id << ")\n";
    return;
  }
  std::cout << command.out.string() << ": dataset " << manifest.dataset_id << ", "
            << cli::format_count(manifest.classes.size()) << " classes\n";
  for (const SplitInfo& split : manifest.splits) {
    std::cout << "  " << split.name << ": " << cli::format_count(split.records) << " images in "
              << cli::format_count(split.shards.size()) << (split.shards.size() == 1 ? " shard, " : " shards, ")
              << cli::format_bytes(bytes_of(split)) << "\n";
  }
  if (!manifest.skipped.empty()) {
    std::cout << "  skipped: " << cli::format_count(manifest.skipped.size())
              << " images, listed in manifest.json with the reasons\n";
  }
}

int run_build(const cli::Arguments& arguments) {
  PackCommand command = read_pack_command(arguments);
  if (arguments.has("relabel-only")) {
    if (arguments.positional("OUT").empty()) command.out.replace_extension(".relabeled");
    return relabel(command, {"val"}, "hard", false);
  }
  // Read before anything is packed: a wrong file should not be found out in an hour.
  std::optional<ingest::RealRows> real;
  if (!command.real.empty()) real = read_real_file(command.real);
  command.build.fresh = arguments.has("fresh");
  const ingest::ThreadLimit threads(command.threads);
  const ingest::LabeledSource source = look_at_source(command);
  cli::throw_if_stopped("nothing was written");
  const auto reader = ingest::make_folder_reader(posix_file_system(), source.scan.root);
  TerminalObserver observer(command.quiet);
  ingest::BuildResult result =
      ingest::build(posix_file_system(), source, *reader, command.out, command.build, observer, cli::stop_flag());
  observer.finish();
  if (real) {
    const std::string line = add_real_labels(command.out, *real);
    if (!command.quiet) cli::console().say(line);
    result.manifest = read_manifest(posix_file_system(), command.out);
  }
  const int status = status_of(command, source, result);
  command.json ? print_json(command, source, result, status) : print_text(command, result);
  if (status == cli::kExitSomeSkipped) {
    cli::console().warn(
        "the dataset is complete but for the images above: exit status 3 (--accept-skipped, --accept-missing)");
  }
  return status;
}

}  // namespace

cli::Verb build_verb() {
  cli::Verb verb;
  verb.name = "build";
  verb.summary = "Turn a folder of raw images into shards";
  verb.description =
      "Recognises the source by itself: the Kaggle or torrent tree (ILSVRC/Data/CLS-LOC), split folders (train, val, "
      "test), or class "
      "folders alone. Validation labels come from LOC_val_solution.csv, the annotations, the devkit's ground truth, "
      "valprep.sh, class folders, --labels and the built-in table of the ILSVRC2012 labels; all that are there are "
      "compared. JPEGs are kept as they are; CMYK, PNG, WebP and BMP images "
      "are converted; "
      "images that cannot be decoded are skipped and listed in the manifest.\n\n"
      "The same source and options give the same bytes, whatever the number of threads and interruptions. The same "
      "command again goes "
      "on with an unfinished build and leaves a finished one alone.";
  verb.positionals = pack_positionals();
  verb.options = pack_options();
  verb.options.insert(
      verb.options.begin() + 3,
      {.name = "fresh", .value = "", .help = "Remove an earlier build in OUT, finished or not, and begin anew."});
  verb.options.insert(
      verb.options.begin() + 4,
      {.name = "relabel-only",
       .value = "",
       .help = "Pack nothing: sort val into class folders at OUT (SOURCE.relabeled), as `imgpack relabel` "
               "does."});
  verb.examples = {
      {"imgpack build /mnt/data/imagenet", "ImageNet into /mnt/data/imagenet.shards."},
      {"imgpack build photos photos.shards --resize-max 500 --quality 90", "Any class folders, shrunk to 500 pixels."}};
  verb.exit_status =
      cli::usual_exit_status({{cli::kExitOk, "done, or finished before with the same options"},
                              {cli::kExitSomeSkipped, "done, but some images were skipped or are missing"},
                              {cli::kExitDamage, "an earlier build in OUT is damaged"}});
  verb.run = run_build;
  return verb;
}

}  // namespace imgpack
