#include "tools/imgpack/source_step.h"

#include "format/error.h"
#include "format/ingest/archive_builder.h"
#include "format/ingest/folder_source.h"
#include "format/ingest/list_source.h"
#include "tools/cli/console.h"
#include "tools/cli/stop_signals.h"
#include "tools/cli/units.h"

namespace imgpack {
namespace {

// The source's names are read quietly here: what it is has been said.
class QuietObserver : public ingest::BuildObserver {
 public:
  void on_note(const std::string&) override {}
  void on_skip(const SkippedSource&) override {}
  void on_start(uint64_t, uint64_t) override {}
  void on_packed(uint64_t, uint64_t) override {}
};

std::string split_line(const ingest::SourceSplit& split, const ingest::LabeledSplit& labels) {
  std::string line =
      split.name + ": " + cli::format_count(split.images.size()) + " images, " + cli::format_bytes(split.bytes);
  if (!labels.labeled) return line + ", no labels";
  line += ", labels: ";
  for (const ingest::LabelSourceReport& report : labels.sources) {
    if (&report != &labels.sources.front()) line += ", ";
    line += report.source;
    if (report.covered < split.images.size()) line += " (" + cli::format_count(report.covered) + " of them)";
  }
  return labels.sources.size() > 1 ? line + ": all agree" : line;
}

std::string missing_line(const ingest::MissingImages& missing) {
  std::string line = missing.split + ": expected " + cli::format_count(missing.expected) + " images, found " +
                     cli::format_count(missing.found);
  if (missing.examples.empty()) return line;
  line += "; missing:";
  for (const std::string& name : missing.examples) line += " " + name;
  return missing.missing > missing.examples.size() ? line + " ..." : line;
}

}  // namespace

void describe_source(const PackCommand& command, const ingest::LabeledSource& source) {
  cli::Console& console = cli::console();
  const auto say = [&](const std::string& line) {
    if (!command.quiet) console.say(line);
  };
  const ingest::SourceScan& scan = source.scan;
  say("source: " + scan.description + " in " + scan.root.string());
  if (scan.ignored_files > 0) {
    std::string line = "ignored " + cli::format_count(scan.ignored_files) + " files that are no images by their names:";
    for (const std::string& name : scan.ignored_examples) line += " " + name;
    say(scan.ignored_files > scan.ignored_examples.size() ? line + " ..." : line);
  }
  for (const std::string& folder : scan.ignored_folders)
    say("ignored folder " + folder + ": it is no split (train, val, test)");
  say("classes: " + cli::format_count(source.classes.classes.size()) + ", " + source.classes.origin);
  for (const std::string& note : source.classes.notes) say("note: " + note);
  for (size_t s = 0; s < source.splits.size(); ++s) {
    say(split_line(scan.splits[s], source.splits[s]));
    for (const std::string& note : source.splits[s].notes) say("note: " + note);
    for (const ingest::LabelSourceReport& report : source.splits[s].sources) {
      if (report.others > 0)
        say("note: " + report.source + " labels " + cli::format_count(report.others) + " images that are not here");
    }
  }
  for (const ingest::MissingImages& missing : source.missing) console.warn(missing_line(missing));
}

FoundSource find_source(const PackCommand& command) {
  FileSystem& fs = posix_file_system();
  if (!fs.exists(command.source)) throw Error(ErrorKind::kIo, "no such file or folder", command.source);
  FoundSource found;
  found.archives = ingest::find_archives(fs, command.source);
  if (found.archives) {
    if (command.quiet) return found;
    cli::console().say("source: " + found.archives->description() + ", " + cli::format_bytes(found.archives->bytes()));
    for (const std::string& note : found.archives->notes) cli::console().say("note: " + note);
    return found;
  }
  if (std::filesystem::is_directory(command.source)) {
    found.labeled = ingest::label_source(fs, ingest::scan_folder(fs, command.source), command.labels);
  } else if (ingest::is_list_name(command.source)) {
    found.labeled = ingest::read_image_list(fs, command.source);
  } else {
    throw Error(ErrorKind::kInvalidInput,
                "not a source: expected a folder, a tar or zip archive, or a list of images (.csv, .tsv)",
                command.source);
  }
  describe_source(command, *found.labeled);
  return found;
}

ingest::LabeledSource read_archive_labels(const PackCommand& command, const ingest::ArchiveSet& archives) {
  QuietObserver observer;
  auto source = ingest::label_archives(posix_file_system(), archives, command.labels, observer, cli::stop_flag());
  describe_source(command, source);
  return source;
}

ingest::LabeledSource look_at_labels(const PackCommand& command) {
  FoundSource found = find_source(command);
  if (found.labeled) return *std::move(found.labeled);
  return read_archive_labels(command, *found.archives);
}

ingest::LabeledSource look_at_files(const PackCommand& command) {
  FoundSource found = find_source(command);
  if (found.labeled) return *std::move(found.labeled);
  throw Error(ErrorKind::kInvalidInput, "an archive has no files to link to: expected a folder or a list of images",
              command.source, {},
              "--csv writes the labels of an archive; or build from it, and imgpack export --format imagefolder");
}

}  // namespace imgpack
