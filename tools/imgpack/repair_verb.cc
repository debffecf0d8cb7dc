#include <iostream>
#include <memory>
#include <optional>

#include "format/error.h"
#include "format/ingest/archive_images.h"
#include "format/ingest/folder_source.h"
#include "format/ingest/ilsvrc2012.h"
#include "format/ingest/output_folder.h"
#include "format/ingest/source_records.h"
#include "format/ingest/thread_limit.h"
#include "format/repair.h"
#include "format/strict_json.h"
#include "tools/cli/console.h"
#include "tools/cli/run_tool.h"
#include "tools/cli/stop_signals.h"
#include "tools/cli/units.h"
#include "tools/imgpack/pack_options.h"
#include "tools/imgpack/source_step.h"
#include "tools/imgpack/verbs.h"

namespace imgpack {
namespace {

constexpr size_t kLinesPrinted = 100;

std::string class_names(const std::string& wnid) {
  const auto label = ingest::ilsvrc_label(wnid);
  return label ? std::string(ingest::ilsvrc_classes()[static_cast<size_t>(*label)].names) : std::string();
}

// The images of archives that the repair will ask for, kept beside the shards while it lasts. Found by a first look at
// the shards, which changes nothing.
std::unique_ptr<ingest::ImageReader> keep_wanted(const ingest::ArchiveSet& archives,
                                                 const ingest::LabeledSource& source,
                                                 const std::filesystem::path& dataset, RepairOptions options) {
  ingest::NotedRecords noted(source);
  options.source = &noted;
  options.dry_run = options.accept_loss = true;
  repair_dataset(posix_file_system(), dataset, options);
  return std::make_unique<ingest::ArchiveImages>(posix_file_system(), archives, source.scan, noted.noted(),
                                                 temporary_path(dataset / "repair-images"), cli::stop_flag());
}

// The source as repair wants it: records by the manifest's options, or where the manifest is lost its classes alone.
class RepairSource {
 public:
  RepairSource(const PackCommand& command, const std::filesystem::path& dataset, const RepairOptions& options)
      : RepairSource(command, dataset, options, find_source(command)) {}

  RecordSource* records() { return records_.get(); }

 private:
  RepairSource(const PackCommand& command, const std::filesystem::path& dataset, const RepairOptions& options,
               FoundSource found)
      : source_(found.labeled ? *std::move(found.labeled) : read_archive_labels(command, *found.archives)) {
    std::optional<Manifest> manifest;
    try {
      manifest = read_manifest(posix_file_system(), dataset);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kCorruption && error.kind() != ErrorKind::kIo) throw;
    }
    if (manifest && !manifest->options.empty()) {
      reader_ = found.archives ? keep_wanted(*found.archives, source_, dataset, options)
                               : ingest::make_folder_reader(posix_file_system(), source_.scan.root);
      records_ =
          std::make_unique<ingest::SourceRecords>(source_, *reader_, ingest::parse_option_texts(manifest->options));
    } else {
      cli::console().say(
          "note: the options of the build are not known: classes are taken from the source, images are not");
      records_ = std::make_unique<ingest::SourceClasses>(source_.classes.classes);
    }
  }
  ingest::LabeledSource source_;
  std::unique_ptr<ingest::ImageReader> reader_;
  std::unique_ptr<RecordSource> records_;
};

std::string to_text(const LostRecord& lost) {
  if (lost.name.empty())
    return lost.split + ": " + cli::format_count(lost.count) + " records of unknown names: " + lost.reason;
  return lost.split + "/" + lost.name + ": " + lost.reason;
}

template <typename Elements, typename Format>
std::string json_array(const Elements& elements, Format format) {
  std::string text = "[";
  for (const auto& element : elements) text += (text.size() > 1 ? ", " : "") + format(element);
  return text + "]";
}

void print_json(const std::filesystem::path& dataset, const RepairReport& report, bool dry_run, int status) {
  std::cout << "{\"message_type\": \"repair\", \"dataset\": " << json_quote(dataset.string())
            << ", \"dry_run\": " << (dry_run ? "true" : "false") << ", \"shards\": " << report.shards
            << ", \"rewritten\": " << report.rewritten << ", \"restored\": " << report.restored
            << ", \"done\": " << json_array(report.done, json_quote)
            << ", \"left\": " << json_array(report.left, json_quote) << ", \"lost\": "
            << json_array(report.lost,
                          [](const LostRecord& lost) {
                            return "{\"split\": " + json_quote(lost.split) + ", \"name\": " + json_quote(lost.name) +
                                   ", \"count\": " + std::to_string(lost.count) +
                                   ", \"reason\": " + json_quote(lost.reason) + "}";
                          })
            << ", \"dataset_id_before\": " << json_quote(report.dataset_id_before)
            << ", \"dataset_id\": " << json_quote(report.dataset_id) << ", \"exit_status\": " << status << "}\n";
}

void print_text(const std::filesystem::path& dataset, const RepairReport& report, bool dry_run) {
  for (const std::string& line : report.done) std::cout << line << "\n";
  for (size_t i = 0; i < std::min(report.lost.size(), kLinesPrinted); ++i)
    std::cout << (report.ok() && !dry_run ? "taken out: " : "cannot be brought back: ") << to_text(report.lost[i])
              << "\n";
  if (report.lost.size() > kLinesPrinted) {
    std::cout << "... and " << cli::format_count(report.lost.size() - kLinesPrinted) << " more (--json lists them)\n";
  }
  for (const std::string& line : report.left) std::cout << "still damaged: " << line << "\n";
  std::cout << dataset.string() << ": ";
  if (!report.ok()) {
    std::cout << "not whole. Hint: --source SOURCE packs lost records again, --accept-loss takes them out\n";
  } else if (report.done.empty()) {
    std::cout << "nothing to repair in " << cli::format_count(report.shards) << " shards\n";
  } else if (dry_run) {
    std::cout << "can be repaired; nothing was changed\n";
  } else {
    std::cout << "repaired, dataset " << report.dataset_id
              << (report.dataset_id == report.dataset_id_before ? " as before" : "") << "\n";
  }
}

int run_repair(const cli::Arguments& arguments) {
  const std::filesystem::path dataset = arguments.positional("DIR");
  FileSystem& fs = posix_file_system();
  if (ingest::look_at_output(fs, dataset) == ingest::OutputState::kUnfinished && fs.exists(dataset / "build.json"))
    throw Error(ErrorKind::kInvalidInput, "this is an unfinished build: expected a finished dataset", dataset, {},
                "the same imgpack build command goes on with it");
  RepairOptions options;
  options.accept_loss = arguments.has("accept-loss");
  options.dry_run = arguments.has("dry-run");
  options.created_by = std::string("imgpack ") + IMGPACK_VERSION;
  options.class_names = class_names;
  options.on_shard = [](const std::string&) { cli::throw_if_stopped("shards repaired so far stay"); };
  PackCommand command;
  command.source = arguments.find("source").value_or("");
  command.labels = read_label_options(arguments);
  command.quiet = arguments.has("quiet");
  const ingest::ThreadLimit threads(static_cast<uint32_t>(arguments.number("threads", 0, 1024)));
  std::optional<RepairSource> source;
  if (!command.source.empty()) options.source = source.emplace(command, dataset, options).records();
  const RepairReport report = repair_dataset(fs, dataset, options);
  const int status = !report.ok()                               ? cli::kExitDamage
                     : !report.lost.empty() && !options.dry_run ? cli::kExitSomeSkipped
                                                                : cli::kExitOk;
  arguments.has("json") ? print_json(dataset, report, options.dry_run, status)
                        : print_text(dataset, report, options.dry_run);
  return status;
}

}  // namespace

cli::Verb repair_verb() {
  cli::Verb verb;
  verb.name = "repair";
  verb.summary = "Put a damaged dataset back in order";
  verb.description =
      "Rebuilds indexes, footers and headers of shards from their records, the dataset index from the shards, and a "
      "lost "
      "manifest from both. Damaged or missing records, and images that were skipped when the dataset was built, are "
      "packed again from --source by the options in the manifest: a shard that was whole once is then the same to the "
      "byte.\n\n"
      "Without a source, records that are gone stand in the way: their shards are left as they are unless "
      "--accept-loss "
      "takes the records out, which the manifest then lists.";
  verb.positionals = {{.name = "DIR", .help = "The folder of shards."}};
  verb.options = {
      {.name = "source",
       .value = "SOURCE",
       .help = "The raw images that the dataset was built from: a folder, a list, or the archive."},
      {.name = "accept-loss", .value = "", .help = "Take out records that cannot be brought back."},
      {.name = "dry-run", .value = "", .help = "Say what would be done, and change nothing."},
      cli::threads_option(),
      cli::quiet_option(),
      cli::json_option(),
  };
  cli::append(verb.options, label_options());
  verb.examples = {{"imgpack repair imagenet.shards", "Repair from what is there."},
                   {"imgpack repair imagenet.shards --source /mnt/data/imagenet", "Bring lost images back."}};
  verb.exit_status =
      cli::usual_exit_status({{cli::kExitOk, "whole now, or was whole before"},
                              {cli::kExitSomeSkipped, "whole now, but records were taken out"},
                              {cli::kExitDamage, "some damage is left, and is listed"},
                              {cli::kExitUnsupportedVersion, "something here was written by a newer version"},
                              {cli::kExitInterrupted, "stopped by SIGTERM"},
                              {cli::kExitSigint, "stopped by Ctrl-C"}});
  verb.run = run_repair;
  return verb;
}

}  // namespace imgpack
