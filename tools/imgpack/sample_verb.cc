#include <iostream>

#include "format/ingest/sample_set.h"
#include "format/ingest/thread_limit.h"
#include "format/strict_json.h"
#include "tools/cli/arguments.h"
#include "tools/cli/units.h"
#include "tools/imgpack/verbs.h"

namespace imgpack {
namespace {

int run_sample(const cli::Arguments& arguments) {
  const std::string out = arguments.positional("OUT");
  ingest::SampleOptions options;
  options.classes = static_cast<uint32_t>(arguments.number("classes", 0, UINT32_MAX));
  options.train = static_cast<uint32_t>(arguments.number("train", 0, UINT32_MAX));
  options.val = static_cast<uint32_t>(arguments.number("val", 0, UINT32_MAX));
  options.test = static_cast<uint32_t>(arguments.number("test", 0, UINT32_MAX));
  options.size = static_cast<uint32_t>(arguments.number("size", 0, UINT32_MAX));
  options.seed = arguments.number("seed");
  options.odd = !arguments.has("no-odd");
  options.damaged = static_cast<uint32_t>(arguments.number("damaged", 0, UINT32_MAX));
  const ingest::ThreadLimit threads(static_cast<uint32_t>(arguments.number("threads", 0, 1024)));
  const ingest::SampleReport report = ingest::write_sample_set(posix_file_system(), out, options);
  if (arguments.has("json")) {
    std::cout << "{\"message_type\": \"sample\", \"folder\": " << json_quote(out)
              << ", \"already_there\": " << (report.already_there ? "true" : "false")
              << ", \"images\": " << report.images << ", \"bytes\": " << report.bytes << "}\n";
    return 0;
  }
  std::cout << out << ": " << cli::format_count(report.images) << " images, " << cli::format_bytes(report.bytes)
            << (report.already_there ? ", made before, left alone\n" : "\n");
  for (const auto& [file, what] : report.odd_images) std::cout << "  odd: " << file << ": " << what << "\n";
  return 0;
}

}  // namespace

cli::Verb sample_verb() {
  cli::Verb verb;
  verb.name = "sample";
  verb.summary = "Make a small synthetic image set in the Kaggle layout";
  verb.description =
      "For demos and tests: pictures of textured objects that a network can and must learn to tell apart, in the exact "
      "layout of the "
      "Kaggle ImageNet download, with one odd image of each kind that ImageNet is known to hold (grayscale, CMYK, a "
      "PNG named .JPEG, "
      "EXIF orientation, progressive, restart markers, very wide, one pixel high). The same options give the same "
      "bytes.";
  verb.positionals = {{.name = "OUT", .help = "A new folder. A sample made with the same options is left alone."}};
  verb.options = {
      {.name = "classes", .value = "N", .help = "Classes, 2 to 12.", .default_value = "12"},
      {.name = "train", .value = "N", .help = "Training images.", .default_value = "1800"},
      {.name = "val", .value = "N", .help = "Validation images.", .default_value = "360"},
      {.name = "test", .value = "N", .help = "Test images.", .default_value = "60"},
      {.name = "size", .value = "PX", .help = "Typical long side; it varies by a third.", .default_value = "120"},
      {.name = "seed", .value = "N", .help = "Other seeds give other pictures.", .default_value = "0"},
      {.name = "no-odd", .value = "", .help = "Ordinary baseline JPEGs only."},
      {.name = "damaged",
       .value = "N",
       .help = "Make N training images ones that cannot be packed: cut off, text, empty.",
       .default_value = "0"},
      cli::threads_option(),
      cli::json_option(),
  };
  verb.examples = {{"imgpack sample /tmp/imagenet", "Then: imgpack build /tmp/imagenet"}};
  verb.exit_status = cli::usual_exit_status();
  verb.run = run_sample;
  return verb;
}

}  // namespace imgpack
