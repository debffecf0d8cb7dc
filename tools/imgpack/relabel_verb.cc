// `relabel` sorts a validation set into class folders for other tools; `add-labels` gives a dataset a second label set.
#include <iostream>

#include "format/dataset.h"
#include "format/error.h"
#include "format/ingest/folder_source.h"
#include "format/ingest/real_labels.h"
#include "format/ingest/relabel.h"
#include "format/ingest/thread_limit.h"
#include "tools/cli/units.h"
#include "tools/imgpack/pack_options.h"
#include "tools/imgpack/relabel_step.h"
#include "tools/imgpack/source_step.h"
#include "tools/imgpack/verbs.h"

namespace imgpack {
namespace {

ingest::RelabelMode read_mode(const std::string& text) {
  if (text == "symbolic") return ingest::RelabelMode::kSymbolicLink;
  return text == "copy" ? ingest::RelabelMode::kCopy : ingest::RelabelMode::kHardLink;
}

int run_relabel(const cli::Arguments& arguments) {
  PackCommand command;
  command.source = arguments.positional("SOURCE");
  command.out = arguments.positional("OUT");
  command.labels = read_label_options(arguments);
  command.quiet = arguments.has("quiet");
  command.threads = static_cast<uint32_t>(arguments.number("threads", 0, 1024));
  const auto splits = arguments.all("split");
  const bool csv = arguments.has("csv");
  if (csv && splits.size() > 1)
    throw Error(ErrorKind::kUsage, "--csv: expected one --split, found " + std::to_string(splits.size()));
  return relabel(command, splits.empty() ? std::vector<std::string>{"val"} : splits, arguments.text("links"), csv);
}

int run_add_labels(const cli::Arguments& arguments) {
  const std::filesystem::path folder = arguments.positional("DIR"), file = arguments.positional("FILE");
  const std::string name = arguments.text("name");
  if (const auto removed = arguments.has("remove"); removed != file.empty())
    throw Error(ErrorKind::kUsage, removed ? "--remove takes no FILE" : "FILE is missing: expected a file of labels");
  if (file.empty()) {
    if (!remove_label_set(posix_file_system(), folder, name))
      throw Error(ErrorKind::kInvalidInput, "the dataset has no label set '" + name + "'", folder);
    std::cout << folder.string() << ": label set " << name << " removed\n";
    return 0;
  }
  const std::string line = add_real_labels(folder, read_real_file(file), arguments.text("split"), name);
  std::cout << folder.string() << ": " << line << "\n";
  return 0;
}

}  // namespace

int relabel(const PackCommand& command, const std::vector<std::string>& splits, const std::string& links, bool csv) {
  FileSystem& fs = posix_file_system();
  const ingest::ThreadLimit threads(command.threads);
  const ingest::LabeledSource source = csv ? look_at_labels(command) : look_at_files(command);
  if (csv) {
    publish(fs, command.out, ingest::relabeled_csv(source, splits.front()));
    std::cout << command.out.string() << ": labels of " << splits.front() << "\n";
    return 0;
  }
  const auto reader = ingest::make_folder_reader(fs, source.scan.root);
  const ingest::RelabelReport report =
      ingest::write_relabeled_tree(fs, source, *reader, command.out, splits, read_mode(links));
  std::cout << command.out.string() << ": ";
  if (report.already_there) std::cout << "made before from the same labels, left alone: ";
  std::cout << cli::format_count(report.images) << " images in " << cli::format_count(report.classes)
            << " class folders\n";
  return 0;
}

cli::Option links_option() {
  return {.name = "links",
          .value = "KIND",
          .help =
              "How files get into the tree: hard links take no room, symbolic ones work across disks and need the "
              "source to stay, copies need neither.",
          .default_value = "hard",
          .choices = {"hard", "symbolic", "copy"}};
}

ingest::RealRows read_real_file(const std::filesystem::path& file) {
  constexpr uint64_t kMostBytes = 64 << 20;  // The true file has 0.4 MB.
  return ingest::parse_real_labels(read_text(posix_file_system(), file, kMostBytes), file);
}

std::string add_real_labels(const std::filesystem::path& folder, const ingest::RealRows& rows, const std::string& split,
                            const std::string& name) {
  FileSystem& fs = posix_file_system();
  const Dataset dataset = Dataset::open(fs, folder, ReadNames::kYes);
  const LabelSet set = ingest::make_real_set(dataset, split, rows, name);
  uint64_t with_label = 0;
  for (const auto& labels : set.labels) with_label += labels.empty() ? 0 : 1;
  const bool is_new = add_label_set(fs, folder, set);
  return "label set " + name + " of " + split + (is_new ? ": " : " was there before: ") +
         cli::format_count(with_label) + " of " + cli::format_count(set.labels.size()) + " images have labels";
}

cli::Verb relabel_verb() {
  cli::Verb verb;
  verb.name = "relabel";
  verb.summary = "Sort a validation set into class folders, for other tools";
  verb.description =
      "Does what valprep.sh does, with every source of labels compared first: OUT/val/CLASS/IMAGE as links or copies. "
      "SOURCE is not changed, and OUT is there whole or not at all. With --csv, OUT is a file of image, WNID and label "
      "instead.";
  verb.positionals = {{.name = "SOURCE", .help = "The folder of raw images; with --csv also an archive."},
                      {.name = "OUT", .help = "The new folder, or with --csv the file."}};
  verb.options = {cli::threads_option(),
                  cli::quiet_option(),
                  {.name = "split",
                   .value = "SPLIT",
                   .help = "Which split: train, val or test. Without it: val.",
                   .choices = {"train", "val", "test"},
                   .repeatable = true},
                  links_option(),
                  {.name = "csv", .value = "", .help = "Write a CSV of the labels and no tree."}};
  cli::append(verb.options, label_options());
  verb.examples = {{"imgpack relabel /mnt/data/imagenet /mnt/data/imagenet-val", "A tree that ImageFolder reads."},
                   {"imgpack relabel /mnt/data/imagenet val.csv --csv", "A table of the labels."}};
  verb.exit_status = cli::usual_exit_status({{0, "done, or made before from the same labels"}});
  verb.run = run_relabel;
  return verb;
}

cli::Verb add_labels_verb() {
  cli::Verb verb;
  verb.name = "add-labels";
  verb.summary = "Give a dataset the ReaL labels, several per image";
  verb.description =
      "Adds a label set beside the labels of the records, for evaluation. FILE is ReaL's real.json: 50,000 lists of "
      "class indices, one for each ILSVRC2012 validation image in order. A set of the same name is replaced. Shards "
      "are not touched.";
  verb.positionals = {{.name = "DIR", .help = "The folder of shards."},
                      {.name = "FILE", .help = "The labels.", .required = false}};
  verb.options = {
      {.name = "split", .value = "SPLIT", .help = "The split that the labels are for.", .default_value = "val"},
      {.name = "name", .value = "NAME", .help = "Of the label set.", .default_value = "real"},
      {.name = "remove", .value = "", .help = "Remove the label set NAME instead."}};
  verb.examples = {{"imgpack add-labels imagenet.shards real.json", "ReaL labels for val."},
                   {"imgpack add-labels imagenet.shards --remove", "Take them out again."}};
  verb.exit_status = cli::usual_exit_status({{4, "the dataset is damaged"}});
  verb.run = run_add_labels;
  return verb;
}

}  // namespace imgpack
