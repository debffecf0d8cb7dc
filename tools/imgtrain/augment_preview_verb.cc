// imgtrain augment-preview: what training will see, as a picture.
#include <iostream>

#include "engine/train/run/augment_preview.h"
#include "format/dataset.h"
#include "format/error.h"
#include "format/file.h"
#include "tools/cli/arguments.h"
#include "tools/cli/run_tool.h"
#include "tools/imgtrain/config_options.h"
#include "tools/imgtrain/data_files.h"
#include "tools/imgtrain/verbs.h"

namespace imgtrain {
namespace {

namespace cli = imgpack::cli;

int run(const cli::Arguments& arguments) {
  const RunConfig config = resolve_arguments(arguments).values;
  if (config.shards.empty()) {
    throw imgpack::Error(imgpack::ErrorKind::kUsage, "shards: expected the folder of a data set, found nothing");
  }
  const auto images = static_cast<uint32_t>(arguments.number("images", 1, 64));
  const auto columns = static_cast<uint32_t>(arguments.number("columns", 1, 64));
  imgpack::FileSystem& fs = data_files(arguments);
  const imgpack::Dataset dataset = imgpack::Dataset::open(fs, config.shards);
  const ContactSheet sheet = augment_preview(fs, dataset, config, images, columns);
  const std::string path = arguments.text("png");
  write_png(fs, path, sheet);
  std::cout << path << ": " << sheet.width << " x " << sheet.height << " pixels\n";
  return cli::kExitOk;
}

}  // namespace

cli::Verb augment_preview_verb() {
  cli::Verb verb;
  verb.name = "augment-preview";
  verb.summary = "write a contact sheet of augmented training images";
  verb.description =
      "Draws images as the first epoch of training would and writes them as one PNG: a row for each image, a column "
      "for "
      "each draw; in the upper half cropped and mirrored alone, in the lower half with colour jitter, policy, erasing, "
      "cutout, mixup and CutMix (a column is mixed as a group).";
  verb.options = layer_options();
  verb.options.push_back(
      {.name = "png", .value = "FILE", .help = "File to write.", .default_value = "augment-preview.png"});
  verb.options.push_back({.name = "images", .value = "N", .help = "Images to show.", .default_value = "6"});
  verb.options.push_back({.name = "columns", .value = "N", .help = "Draws of each.", .default_value = "8"});
  cli::append(verb.options, config_options());
  cli::append(verb.options, url_options());
  verb.examples = {{"imgtrain augment-preview --shards DIR --recipe a3", "what recipe a3 does to its images"}};
  verb.exit_status = cli::usual_exit_status({{4, "shards are damaged"}});
  verb.run = run;
  return verb;
}

}  // namespace imgtrain
