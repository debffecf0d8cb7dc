// `export` writes a dataset in other tools' formats; `split` makes a new dataset out of a part of one.
#include <charconv>
#include <iostream>

#include "format/error.h"
#include "format/export.h"
#include "format/ingest/label_table.h"
#include "format/split_dataset.h"
#include "tools/cli/console.h"
#include "tools/cli/progress.h"
#include "tools/cli/run_tool.h"
#include "tools/cli/stop_signals.h"
#include "tools/cli/units.h"
#include "tools/imgpack/record_selection.h"
#include "tools/imgpack/verbs.h"

namespace imgpack {
namespace {

constexpr uint64_t kMaxListBytes = 64 << 20;

cli::ProgressOptions progress_options(const std::string& title, uint64_t total, const cli::Arguments& arguments) {
  cli::ProgressOptions options;
  options.title = title;
  options.total = total;
  options.quiet = arguments.has("quiet");
  return options;
}

int run_export(const cli::Arguments& arguments) {
  FileSystem& fs = posix_file_system();
  const std::filesystem::path out = arguments.positional("OUT");
  const Dataset dataset = Dataset::open(fs, arguments.positional("DIR"), ReadNames::kYes);
  ExportOptions options;
  options.format = *parse_export_format(arguments.text("format"));
  options.file_bytes = arguments.bytes("file-size");
  std::vector<RecordRef> records;
  for (const SelectedRecord& one : select_records(dataset, arguments)) records.push_back({one.split, one.record});
  cli::Progress progress(cli::console(), progress_options("export", records.size(), arguments));
  options.on_record = [&](uint64_t bytes) {
    cli::throw_if_stopped("nothing was written");
    progress.advance(1, bytes);
  };
  const ExportReport report = export_records(fs, dataset, records, out, options);
  progress.finish();
  std::cout << out.string() << ": " << cli::format_count(report.records) << " images, "
            << cli::format_bytes(report.bytes) << ", in " << cli::format_count(report.files)
            << (report.files == 1 ? " file\n" : " files\n");
  return 0;
}

// `0.02` of every class, or `50/class`.
void read_amount(const std::string& text, HoldOut& rule) {
  const auto fail = [&] {
    throw Error(ErrorKind::kUsage,
                "--hold-out: expected a share such as 0.02, or a number such as 50/class, found '" + text + "'");
  };
  const size_t slash = text.find('/');
  const char* end = text.data() + std::min(slash, text.size());
  if (slash != std::string::npos) {
    const auto [at, failure] = std::from_chars(text.data(), end, rule.per_class);
    if (failure != std::errc() || at != end || rule.per_class == 0 || text.substr(slash) != "/class") fail();
  } else {
    const auto [at, failure] = std::from_chars(text.data(), end, rule.share);
    if (failure != std::errc() || at != end || !(rule.share > 0) || !(rule.share < 1)) fail();
  }
}

std::vector<std::string> read_classes(const std::vector<std::string>& words) {
  std::vector<std::string> classes;
  for (const std::string& word : words) {
    if (!word.starts_with('@')) {
      classes.push_back(word);
      continue;
    }
    const std::filesystem::path file = word.substr(1);
    ingest::for_each_line(
        read_text(posix_file_system(), file, kMaxListBytes), file,
        [&](std::string_view line, uint64_t) { classes.emplace_back(line.substr(0, line.find_first_of(" \t,"))); });
  }
  return classes;
}

int run_split(const cli::Arguments& arguments) {
  FileSystem& fs = posix_file_system();
  const std::filesystem::path out = arguments.positional("OUT");
  SplitDatasetOptions options;
  options.splits = arguments.all("split");
  options.classes = read_classes(arguments.all("class"));
  options.created_by = std::string("imgpack ") + IMGPACK_VERSION;
  if (arguments.has("hold-out")) {
    HoldOut rule;
    read_amount(arguments.text("hold-out"), rule);
    rule.from = arguments.text("from");
    rule.to = arguments.text("to");
    rule.seed = arguments.number("seed");
    options.hold_out = rule;
  }
  if (options.splits.empty() && options.classes.empty() && !options.hold_out)
    throw Error(ErrorKind::kUsage, "nothing to do: expected --hold-out, --class or --split");
  const Dataset dataset = Dataset::open(fs, arguments.positional("DIR"), ReadNames::kYes);
  cli::Progress progress(cli::console(), progress_options("split", 0, arguments));
  options.on_record = [&] {
    cli::throw_if_stopped("nothing was written");
    progress.advance(1);
  };
  const Manifest manifest = split_dataset(fs, dataset, out, options);
  progress.finish();
  std::cout << out.string() << ": dataset " << manifest.dataset_id << ", " << cli::format_count(manifest.classes.size())
            << " classes\n";
  for (const SplitInfo& split : manifest.splits)
    std::cout << "  " << split.name << ": " << cli::format_count(split.records) << " images in "
              << cli::format_count(split.shards.size()) << (split.shards.size() == 1 ? " shard\n" : " shards\n");
  return 0;
}

}  // namespace

cli::Verb export_verb() {
  cli::Verb verb;
  verb.name = "export";
  verb.summary = "Write a dataset in another tool's format";
  verb.description =
      "Formats:\n\n"
      "  imagefolder  OUT/SPLIT/CLASS/IMAGE, which torchvision's ImageFolder reads\n"
      "  webdataset   OUT/SPLIT-000000.tar with KEY.jpg, KEY.cls (the label) and\n"
      "               KEY.json\n"
      "  tfrecord     OUT/SPLIT-00000-of-00128 with tf.train.Example messages:\n"
      "               image/encoded, image/class/label (from 0), image/class/synset,\n"
      "               image/filename, image/height, image/width\n\n"
      "Records come in their shuffled order, images as they are stored. OUT/classes.txt lists the classes by label. "
      "OUT "
      "is there whole or not at all.";
  verb.positionals = {{.name = "DIR", .help = "The folder of shards."},
                      {.name = "OUT", .help = "The folder to write; new or empty."}};
  verb.options = {{.name = "format",
                   .value = "FORMAT",
                   .help = "What to write.",
                   .default_value = "imagefolder",
                   .choices = {"imagefolder", "webdataset", "tfrecord"}},
                  {.name = "file-size",
                   .value = "BYTES",
                   .help = "Image bytes per tar or TFRecord file, at most.",
                   .default_value = "1GiB"},
                  cli::quiet_option()};
  cli::append(verb.options, selection_options());
  verb.examples = {{"imgpack export imagenet.shards tars --format webdataset --split train", "For WebDataset."}};
  verb.exit_status = cli::usual_exit_status({{4, "a record or the index is damaged"},
                                             {5, "the dataset is of a version that this build does not read"},
                                             {cli::kExitInterrupted, "stopped by SIGTERM"},
                                             {cli::kExitSigint, "stopped by Ctrl-C"}});
  verb.run = run_export;
  return verb;
}

cli::Verb split_verb() {
  cli::Verb verb;
  verb.name = "split";
  verb.summary = "Make a dataset out of a part of another";
  verb.description =
      "Holds a split out of train, keeps some classes or some splits. Which records are taken follows from their "
      "names, "
      "labels and --seed alone, so that it is the same for every pack of the same images. Images and entropy indexes "
      "are copied. Kept classes are numbered anew, in the same order.";
  verb.positionals = {{.name = "DIR", .help = "The folder of shards."},
                      {.name = "OUT", .help = "The folder of the new dataset; new or empty."}};
  verb.options = {{.name = "hold-out",
                   .value = "AMOUNT",
                   .help = "Move this share of every class (0.02), or this number of images of every class (50/class), "
                           "into a split of their own."},
                  {.name = "from", .value = "SPLIT", .help = "The split to take them from.", .default_value = "train"},
                  {.name = "to", .value = "SPLIT", .help = "The new split.", .default_value = "holdout"},
                  {.name = "seed", .value = "N", .help = "Of the choice.", .default_value = "0"},
                  {.name = "class",
                   .value = "CLASS",
                   .help = "Keep only this class, by its WNID; @FILE names a file with one per line.",
                   .repeatable = true},
                  {.name = "split", .value = "SPLIT", .help = "Keep only this split.", .repeatable = true},
                  cli::quiet_option()};
  verb.examples = {{"imgpack split imagenet.shards tuning.shards --hold-out 50/class --to minival",
                    "A validation set out of train."},
                   {"imgpack split imagenet.shards dogs.shards --class @dogs.txt", "A subset of the classes."}};
  verb.exit_status = cli::usual_exit_status({{4, "the dataset is damaged"},
                                             {5, "the dataset is of a version that this build does not read"},
                                             {cli::kExitInterrupted, "stopped by SIGTERM"},
                                             {cli::kExitSigint, "stopped by Ctrl-C"}});
  verb.run = run_split;
  return verb;
}

}  // namespace imgpack
