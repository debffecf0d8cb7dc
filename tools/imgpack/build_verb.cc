#include <cstdlib>
#include <iostream>
#include <memory>
#include <optional>

#include "format/error.h"
#include "format/ingest/archive_builder.h"
#include "format/ingest/builder.h"
#include "format/ingest/folder_source.h"
#include "format/ingest/merge.h"
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
  explicit TerminalObserver(const PackCommand& command) : command_(command), quiet_(command.quiet) {}

  void on_note(const std::string& note) override {
    if (!quiet_) cli::console().say(note);
  }
  void on_skip(const SkippedSource& skipped) override {
    ++skips_;
    if (skips_ <= kSkipsSaid)
      cli::console().warn("skipped " + skipped.split + "/" + skipped.name + ": " + skipped.reason);
    if (skips_ == kSkipsSaid) cli::console().warn("further skipped images are listed in the manifest only");
  }
  void on_reading(uint64_t bytes) override {
    cli::ProgressOptions options;
    options.title = "read";
    options.unit = "MiB of the archive";
    options.total = bytes >> 20;
    options.quiet = quiet_;
    read_ = 0;
    progress_ = std::make_unique<cli::Progress>(cli::console(), options);
  }
  void on_read(uint64_t bytes, uint64_t) override {
    const uint64_t before = read_ >> 20;
    read_ += bytes;
    progress_->advance((read_ >> 20) - before, 0);
  }
  void on_source(const ingest::LabeledSource& source) override {
    progress_->finish();
    progress_.reset();
    describe_source(command_, source);
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
  const PackCommand& command_;
  const bool quiet_;
  uint64_t skips_ = 0;
  uint64_t read_ = 0;  // Bytes of an archive.
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

int status_of(const PackCommand& command, const std::vector<ingest::MissingImages>& missing_images,
              const ingest::BuildResult& result) {
  if (result.outcome == ingest::BuildOutcome::kAlreadyFinished) return cli::kExitOk;
  const bool skipped = !result.manifest.skipped.empty() && !command.accept_skipped;
  const bool missing = !missing_images.empty() && !command.accept_missing;
  return skipped || missing ? cli::kExitSomeSkipped : cli::kExitOk;
}

void print_json(const PackCommand& command, const std::vector<ingest::MissingImages>& missing_images,
                const ingest::BuildResult& result, int status) {
  std::string text = std::string("{\"message_type\": \"build\", \"outcome\": \"") + outcome_name(result.outcome) +
                     "\", \"dataset\": " + json_quote(command.out.string()) +
                     (command.build.part ? ", \"part\": " + json_quote(command.build.part->text())
                                         : ", \"dataset_id\": " + json_quote(result.manifest.dataset_id)) +
                     ", \"classes\": " + std::to_string(result.manifest.classes.size()) + ", \"splits\": [";
  for (const SplitInfo& split : result.manifest.splits) {
    text += (&split == &result.manifest.splits.front() ? "" : ", ");
    text += "{\"name\": " + json_quote(split.name) + ", \"records\": " + std::to_string(split.records) +
            ", \"shards\": " + std::to_string(split.shards.size()) + ", \"bytes\": " + std::to_string(bytes_of(split)) +
            "}";
  }
  uint64_t missing = 0;
  for (const ingest::MissingImages& one : missing_images) missing += one.missing;
  std::cout << text << "], \"skipped\": " << result.manifest.skipped.size() << ", \"missing\": " << missing
            << ", \"exit_status\": " << status << "}\n";
}

void print_text(const PackCommand& command, const ingest::BuildResult& result) {
  const Manifest& manifest = result.manifest;
  const std::string what = command.build.part ? "part " + command.build.part->text() : "dataset " + manifest.dataset_id;
  if (result.outcome == ingest::BuildOutcome::kAlreadyFinished) {
    std::cout << command.out.string() << ": finished before with the same options, left alone (" << what << ")\n";
    return;
  }
  std::cout << command.out.string() << ": " << what << ", " << cli::format_count(manifest.classes.size())
            << " classes\n";
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

std::optional<std::string> environment_variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
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
  if (const auto part = arguments.find("part")) {
    if (real) {
      throw Error(ErrorKind::kUsage, "--real: a part has no label sets", {}, {},
                  "merge the parts, then `imgpack add-labels`");
    }
    command.build.part = ingest::parse_part(*part, environment_variable);
    command.out = ingest::part_folder(command.out, *command.build.part);
  }
  const ingest::ThreadLimit threads(command.threads);
  FileSystem& fs = posix_file_system();
  FoundSource found = find_source(command);
  cli::throw_if_stopped("nothing was written");
  TerminalObserver observer(command);
  ingest::BuildResult result;
  std::vector<ingest::MissingImages> missing;
  if (found.archives) {
    auto built = ingest::build_archives(fs, *found.archives, command.labels, command.out, command.build, observer,
                                        cli::stop_flag());
    result = std::move(built.result);
    missing = std::move(built.source.missing);
  } else {
    const auto reader = ingest::make_folder_reader(fs, found.labeled->scan.root);
    result = ingest::build(fs, *found.labeled, *reader, command.out, command.build, observer, cli::stop_flag());
    missing = std::move(found.labeled->missing);
  }
  observer.finish();
  if (real) {
    const std::string line = add_real_labels(command.out, *real);
    if (!command.quiet) cli::console().say(line);
    result.manifest = read_manifest(fs, command.out);
  }
  const int status = status_of(command, missing, result);
  command.json ? print_json(command, missing, result, status) : print_text(command, result);
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
  verb.summary = "Turn raw images, in folders or archives, into shards";
  verb.description =
      "Recognises the source by itself: the Kaggle or torrent tree (ILSVRC/Data/CLS-LOC), split folders (train, val, "
      "test), class folders alone, or a list of images (.csv, .tsv: path, label, split). Or an archive of these, which "
      "is streamed and never unpacked: the Kaggle .zip and the .tar.gz in it, the torrent's .tar.gz, image-net.org's "
      "tars (or a folder that holds them), any tar or zip. Validation labels come from LOC_val_solution.csv, the "
      "annotations, class folders and the built-in table of the ILSVRC2012 labels; all that are there are compared. "
      "JPEGs are kept as they are; CMYK, PNG, WebP and BMP images are converted; images that cannot be decoded are "
      "skipped and listed in the manifest.\n\n"
      "The same source and options give the same bytes, whatever the number of threads and interruptions. The same "
      "command again goes "
      "on with an unfinished build and leaves a finished one alone. A folder and an archive of it give the same "
      "shards.\n\n"
      "With --part I/N on each of N hosts, every host packs its share of the shards into OUT.part-I-of-N; `imgpack "
      "merge OUT` then makes OUT from them, the same bytes as one host would have made.";
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
  verb.options.insert(
      verb.options.begin() + 4,
      {.name = "part",
       .value = "I/N",
       .help = "Pack only the I-th of N shares of the shards, into OUT.part-I-of-N. `auto` is this task's place in a "
               "Slurm job array, `auto/N` also that in an AWS Batch array job of N."});
  verb.examples = {
      {"imgpack build /mnt/data/imagenet", "ImageNet into /mnt/data/imagenet.shards."},
      {"imgpack build imagenet-object-localization-challenge.zip imagenet.shards", "The Kaggle download as it came."},
      {"imgpack build /mnt/data/imagenet --part 2/8", "The second of eight hosts."},
      {"imgpack build photos photos.shards --resize-max 500 --quality 90", "Any class folders, shrunk to 500 pixels."}};
  verb.exit_status =
      cli::usual_exit_status({{cli::kExitOk, "done, or finished before with the same options"},
                              {cli::kExitSomeSkipped, "done, but some images were skipped or are missing"},
                              {cli::kExitDamage, "an earlier build in OUT is damaged"}});
  verb.run = run_build;
  return verb;
}

}  // namespace imgpack
