// `cat` writes one image to standard output, `extract` some or all into a folder.
#include <unistd.h>

#include <iostream>
#include <set>

#include "format/dataset.h"
#include "format/error.h"
#include "format/remote/remote_file_system.h"
#include "tools/cli/arguments.h"
#include "tools/cli/stop_signals.h"
#include "tools/cli/units.h"
#include "tools/imgpack/record_selection.h"
#include "tools/imgpack/verbs.h"

namespace imgpack {
namespace {

const std::vector<cli::ExitStatus> kReadExits = {{4, "a record or the index is damaged"},
                                                 {5, "the dataset is of a version that this build does not read"}};

int run_cat(const cli::Arguments& arguments) {
  if (isatty(STDOUT_FILENO) == 1)
    throw Error(ErrorKind::kUsage, "standard output is a terminal: expected a file or a pipe for an image");
  const Dataset dataset = Dataset::open(remote::any_file_system(), arguments.positional("DIR"), ReadNames::kYes);
  const auto records = select_records(dataset, arguments, {arguments.positional("NAME")});
  if (records.size() > 1)
    throw Error(ErrorKind::kUsage,
                "the name is in several splits: expected SPLIT/NAME, found " + arguments.positional("NAME"));
  for_each_record(remote::any_file_system(), dataset, records, [](const SelectedRecord&, const RecordView& record) {
    const auto image = record.image();
    std::cout.write(reinterpret_cast<const char*>(image.data()), static_cast<std::streamsize>(image.size()));
  });
  return 0;
}

int run_extract(const cli::Arguments& arguments) {
  FileSystem& fs = remote::any_file_system();
  const Dataset dataset = Dataset::open(fs, arguments.positional("DIR"), ReadNames::kYes);
  const std::filesystem::path out = arguments.positional("OUT");
  const auto records = select_records(dataset, arguments, arguments.positionals("NAME"));
  uint64_t bytes = 0;
  std::set<std::filesystem::path> folders;
  for_each_record(fs, dataset, records, [&](const SelectedRecord& one, const RecordView& record) {
    cli::throw_if_stopped("files written so far stay");
    // Names are canonical: relative, no `..` (the reader has checked).
    const std::filesystem::path file = out / one.split->info.name / record.meta.name;
    if (folders.insert(file.parent_path()).second) fs.make_directories(file.parent_path());
    if (fs.exists(file))
      throw Error(ErrorKind::kIo, "file exists already: nothing is overwritten", file, {}, "name a new folder");
    const auto target = fs.create(file);
    target->append(record.image());
    target->close();
    bytes += record.image().size();
  });
  std::cout << out.string() << ": " << cli::format_count(records.size())
            << (records.size() == 1 ? " image, " : " images, ") << cli::format_bytes(bytes) << "\n";
  return 0;
}

}  // namespace

cli::Verb cat_verb() {
  cli::Verb verb;
  verb.name = "cat";
  verb.summary = "Write one image to standard output";
  verb.description = "The bytes as they are stored: a JPEG that any program opens.";
  verb.positionals = {{.name = "DIR", .help = "The folder of shards, or the URL of one."},
                      {.name = "NAME", .help = "Of the record, as ls prints it."}};
  verb.options = selection_options();
  verb.examples = {{"imgpack cat imagenet.shards val/ILSVRC2012_val_00000001.JPEG > one.jpg", "Look at one image."}};
  verb.exit_status = cli::usual_exit_status(kReadExits);
  verb.run = run_cat;
  return verb;
}

cli::Verb extract_verb() {
  cli::Verb verb;
  verb.name = "extract";
  verb.summary = "Write images back into files";
  verb.description =
      "Writes OUT/SPLIT/NAME for every record, or for those named or selected. Existing files are never overwritten.";
  verb.positionals = {{.name = "DIR", .help = "The folder of shards, or the URL of one."},
                      {.name = "OUT", .help = "The folder to write into."},
                      {.name = "NAME",
                       .help = "Of a record, as ls prints it. Without any: all.",
                       .required = false,
                       .repeatable = true}};
  verb.options = selection_options();
  verb.examples = {{"imgpack extract imagenet.shards out --split val", "The validation images as files."}};
  verb.exit_status = cli::usual_exit_status(kReadExits);
  verb.run = run_extract;
  return verb;
}

}  // namespace imgpack
