#include <iostream>

#include "format/dataset.h"
#include "format/remote/remote_file_system.h"
#include "format/strict_json.h"
#include "tools/cli/arguments.h"
#include "tools/imgpack/record_selection.h"
#include "tools/imgpack/verbs.h"

namespace imgpack {
namespace {

void print_json(const Dataset& dataset, const SelectedRecord& one) {
  const IndexColumns& columns = one.split->columns;
  const uint64_t i = one.record;
  std::cout << "{\"split\": " << json_quote(one.split->info.name) << ", \"name\": " << json_quote(columns.names[i])
            << ", \"label\": " << columns.label[i]
            << ", \"class\": " << json_quote(class_name(dataset, columns.label[i]))
            << ", \"width\": " << columns.width[i] << ", \"height\": " << columns.height[i]
            << ", \"image_bytes\": " << columns.image_bytes[i]
            << ", \"flags\": " << json_quote(flag_names(columns.flags[i])) << ", \"shard\": " << one.split->shard[i]
            << ", \"offset\": " << one.split->offset[i] << "}\n";
}

void print_long(const Dataset& dataset, const SelectedRecord& one) {
  const IndexColumns& columns = one.split->columns;
  const uint64_t i = one.record;
  std::cout << columns.label[i] << "\t" << class_name(dataset, columns.label[i]) << "\t" << columns.width[i] << "x"
            << columns.height[i] << "\t" << columns.image_bytes[i] << "\t" << flag_names(columns.flags[i]) << "\t";
}

int run_ls(const cli::Arguments& arguments) {
  const Dataset dataset = Dataset::open(remote::any_file_system(), arguments.positional("DIR"), ReadNames::kYes);
  for (const SelectedRecord& one : select_records(dataset, arguments)) {
    if (!std::cout) break;
    if (arguments.has("json")) {
      print_json(dataset, one);
      continue;
    }
    if (arguments.has("long")) print_long(dataset, one);
    std::cout << one.split->info.name << "/" << one.split->columns.names[one.record] << "\n";
  }
  return 0;
}

}  // namespace

cli::Verb ls_verb() {
  cli::Verb verb;
  verb.name = "ls";
  verb.summary = "List the records of a dataset in the order in which they lie";
  verb.description =
      "One record per line: split/name. With --long, tab-separated before it: label, class, size in pixels, bytes, "
      "flags.";
  verb.positionals = {{.name = "DIR", .help = "The folder of shards, or the URL of one."}};
  verb.options = selection_options();
  verb.options.push_back({.name = "long", .value = "", .help = "More than the name.", .letter = 'l'});
  verb.options.push_back({.name = "json", .value = "", .help = "One JSON object per line."});
  verb.examples = {{"imgpack ls imagenet.shards --split val --long", "Validation images with their labels."}};
  verb.exit_status = cli::usual_exit_status(
      {{4, "the manifest or the index is damaged"}, {5, "the dataset is of a version that this build does not read"}});
  verb.run = run_ls;
  return verb;
}

}  // namespace imgpack
