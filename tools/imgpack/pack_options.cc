#include "tools/imgpack/pack_options.h"

#include <algorithm>
#include <charconv>

#include "format/error.h"
#include "format/ingest/archive_layout.h"
#include "format/ingest/list_source.h"

namespace imgpack {
namespace {

using ingest::NormaliseOptions;
using ingest::PackOptions;

constexpr const char* kLabelGroup = "LABELS AND CLASSES";
constexpr const char* kShardGroup = "SHARDS";
constexpr const char* kImageGroup = "IMAGES (each choice is recorded in the manifest)";

cli::Option in_group(const char* group, cli::Option option) {
  option.group = group;
  return option;
}

// `512` for every split or `val=16` for one.
void read_shard_count(const std::string& text, PackOptions& pack) {
  const size_t equals = text.find('=');
  const std::string split = equals == std::string::npos ? "" : text.substr(0, equals);
  const std::string number = equals == std::string::npos ? text : text.substr(equals + 1);
  uint32_t count = 0;
  const auto [end, failure] = std::from_chars(number.data(), number.data() + number.size(), count);
  const bool known = split.empty() || split == "train" || split == "val" || split == "test";
  if (failure != std::errc() || end != number.data() + number.size() || count == 0 || count > ingest::kMaxShards ||
      !known) {
    throw Error(ErrorKind::kUsage, "--shards: expected N or SPLIT=N with N from 1 to " +
                                       std::to_string(ingest::kMaxShards) + ", found '" + text + "'");
  }
  pack.shard_count[split] = count;
}

ingest::Subsampling read_subsampling(const std::string& text) {
  if (text == "4:4:4") return ingest::Subsampling::k444;
  return text == "4:2:2" ? ingest::Subsampling::k422 : ingest::Subsampling::k420;
}

ingest::ClassPolicy read_class_policy(const std::string& text) {
  if (text == "imagenet") return ingest::ClassPolicy::kImagenet;
  if (text == "mapping") return ingest::ClassPolicy::kMapping;
  return text == "folders" ? ingest::ClassPolicy::kFolders : ingest::ClassPolicy::kAuto;
}

NormaliseOptions read_normalise(const cli::Arguments& arguments) {
  NormaliseOptions image;
  image.check = arguments.text("check") == "header" ? ingest::StreamCheck::kHeader : ingest::StreamCheck::kWhole;
  image.entropy_index_mcus = read_entropy_index(arguments);
  image.resize_short = static_cast<uint32_t>(arguments.number("resize-short", 0, 65500));
  image.resize_max = static_cast<uint32_t>(arguments.number("resize-max", 0, 65500));
  image.quality = static_cast<int>(arguments.number("quality", 1, 100));
  image.convert_quality = static_cast<int>(arguments.number("convert-quality", 1, 100));
  image.subsampling = read_subsampling(arguments.text("subsampling"));
  image.no_larger = arguments.has("no-larger");
  image.to_baseline = arguments.has("baseline");
  image.optimise_huffman = arguments.has("optimize");
  image.strip_metadata = arguments.has("strip-metadata");
  image.apply_orientation = arguments.has("apply-orientation");
  return image;
}

// Beside the source: `imagenet` -> `imagenet.shards`.
std::filesystem::path default_out(const std::filesystem::path& source) {
  std::filesystem::path out = std::filesystem::absolute(source).lexically_normal();
  if (!out.has_filename()) out = out.parent_path();
  // Said as the user said it, where that is a plain name.
  if (source.has_filename() && source.filename() != "." && source.filename() != "..") out = source;
  if (source.has_parent_path() && !source.has_filename()) out = source.parent_path();
  // An archive's or list's ending says what it was, not what it will be.
  const std::string name = out.filename().string();
  if (ingest::is_archive_name(name)) {
    out.replace_filename(ingest::archive_stem(name));
  } else if (ingest::is_list_name(out)) {
    out.replace_extension();
  }
  out += ".shards";
  return out;
}

void refuse_out_inside_source(const PackCommand& command) {
  const auto source = std::filesystem::weakly_canonical(command.source),
             out = std::filesystem::weakly_canonical(command.out);
  const auto [rest, at] = std::mismatch(source.begin(), source.end(), out.begin(), out.end());
  if (rest != source.end()) return;
  throw Error(ErrorKind::kUsage, "OUT lies inside SOURCE: expected a folder beside it, found " + command.out.string() +
                                     " in " + command.source.string());
}

}  // namespace

int read_entropy_index(const cli::Arguments& arguments) {
  const std::string text = arguments.text("entropy-index");
  if (text == "none") return ingest::kNoEntropyIndex;
  if (text == "row") return ingest::kEntropyIndexPerRow;
  return static_cast<int>(arguments.number("entropy-index", 1, 65535));
}

std::vector<cli::Positional> pack_positionals() {
  return {
      {.name = "SOURCE",
       .help = "The raw images: an ImageNet download as it came or unpacked, any tree of class folders or archive of "
               "one, or a list of images."},
      {.name = "OUT", .help = "The folder for the shards. Without it: SOURCE.shards.", .required = false}};
}

std::vector<cli::Option> label_options() {
  return {
      in_group(kLabelGroup, {.name = "classes",
                             .value = "LIST",
                             .help = "Which classes there are, numbered in sorted order: auto takes the 1,000 of "
                                     "ILSVRC2012 if the folders are these, else LOC_synset_mapping.txt, else the "
                                     "folders; where folders are missing it stops and asks you to choose.",
                             .default_value = "auto",
                             .choices = {"auto", "imagenet", "mapping", "folders"}}),
      in_group(
          kLabelGroup,
          {.name = "builtin-labels",
           .value = "",
           .help = "Use the built-in labels of ILSVRC2012_val_* by name even if val is not the whole set of 50,000."}),
      in_group(kLabelGroup, {.name = "labels",
                             .value = "[SPLIT=]FILE",
                             .help = "A CSV or TSV of image and class (the name of its folder) for val, or for SPLIT. "
                                     "It is compared with every other source of labels.",
                             .repeatable = true}),
  };
}

std::vector<cli::Option> pack_options() {
  std::vector<cli::Option> options = {
      cli::threads_option(),
      cli::quiet_option(),
      cli::json_option(),
      {.name = "accept-skipped",
       .value = "",
       .help = "Exit with 0 even if some images could not be packed. They are listed in the manifest all the same."},
      {.name = "accept-missing",
       .value = "",
       .help = "Exit with 0 even if images of a full ImageNet, or of the source's own ImageSets lists, are not there."},
      {.name = "max-skipped",
       .value = "N",
       .help = "Stop when more than N images cannot be packed.",
       .default_value = "1000"},
  };
  cli::append(options, label_options());
  options.push_back(
      in_group(kLabelGroup, {.name = "real",
                             .value = "FILE",
                             .help = "Add the ReaL labels of the ILSVRC2012 validation set (real.json: 50,000 lists of "
                                     "class indices) as a second label set, for evaluation."}));
  const std::vector<cli::Option> packing = {
      in_group(
          kShardGroup,
          {.name = "shard-size",
           .value = "BYTES",
           .help = "Source bytes per shard, at most; the number of shards is the smallest power of two that does it.",
           .default_value = "512MiB"}),
      in_group(kShardGroup, {.name = "shards",
                             .value = "[SPLIT=]N",
                             .help = "A fixed number of shards instead, for every split or for one.",
                             .repeatable = true}),
      in_group(
          kShardGroup,
          {.name = "seed", .value = "N", .help = "Of the shuffled order in which records lie.", .default_value = "0"}),

      in_group(
          kImageGroup,
          {.name = "check",
           .value = "LEVEL",
           .help = "How far each JPEG is read to prove that it is whole: header reads markers only, full every bit.",
           .default_value = "full",
           .choices = {"header", "full"}}),
      in_group(
          kImageGroup,
          {.name = "entropy-index",
           .value = "N",
           .help = "Entry points into each JPEG for the fast decoder: every N MCUs, `row` for one per row, or `none`.",
           .default_value = "16"}),
      in_group(kImageGroup, {.name = "resize-short",
                             .value = "PX",
                             .help = "Shrink so that the short side is at most PX; 0 leaves it.",
                             .default_value = "0"}),
      in_group(kImageGroup, {.name = "resize-max",
                             .value = "PX",
                             .help = "Shrink so that the long side is at most PX; 0 leaves it.",
                             .default_value = "0"}),
      in_group(kImageGroup, {.name = "quality",
                             .value = "Q",
                             .help = "JPEG quality of images that are resized or encoded again.",
                             .default_value = "90"}),
      in_group(kImageGroup, {.name = "subsampling",
                             .value = "MODE",
                             .help = "Chroma of the same images.",
                             .default_value = "4:2:0",
                             .choices = {"4:4:4", "4:2:2", "4:2:0"}}),
      in_group(kImageGroup, {.name = "reencode-probability",
                             .value = "P",
                             .help = "Encode this share of the images again, chosen by name and seed.",
                             .default_value = "0"}),
      in_group(kImageGroup,
               {.name = "convert-quality",
                .value = "Q",
                .help = "JPEG quality of CMYK, PNG, WebP and BMP images, which become JPEGs that any decoder reads.",
                .default_value = "95"}),
      in_group(kImageGroup,
               {.name = "no-larger", .value = "", .help = "Keep the original where the result would have more bytes."}),
      in_group(kImageGroup,
               {.name = "baseline", .value = "", .help = "Make progressive JPEGs baseline, without loss."}),
      in_group(kImageGroup,
               {.name = "optimize", .value = "", .help = "Give each JPEG Huffman tables of its own, without loss."}),
      in_group(kImageGroup, {.name = "strip-metadata",
                             .value = "",
                             .help = "Drop EXIF, XMP and comments, without loss; colour profiles stay."}),
      in_group(kImageGroup, {.name = "apply-orientation",
                             .value = "",
                             .help = "Turn images as EXIF asks. Not done by default: published accuracies are for "
                                     "images as they are stored."}),
  };
  options.insert(options.end(), packing.begin(), packing.end());
  return options;
}

ingest::LabelOptions read_label_options(const cli::Arguments& arguments) {
  ingest::LabelOptions labels;
  labels.classes = read_class_policy(arguments.text("classes"));
  labels.force_builtin = arguments.has("builtin-labels");
  for (const std::string& text : arguments.all("labels")) {
    const size_t equals = text.find('=');
    const std::string split = equals == std::string::npos ? "" : text.substr(0, equals);
    // A file may have an equals sign in its name.
    if (split == "train" || split == "val" || split == "test") {
      labels.files.push_back({split, text.substr(equals + 1)});
    } else {
      labels.files.push_back({"val", text});
    }
  }
  return labels;
}

PackCommand read_pack_command(const cli::Arguments& arguments) {
  PackCommand command;
  command.source = arguments.positional("SOURCE");
  command.out = arguments.positional("OUT");
  if (command.out.empty()) command.out = default_out(command.source);
  refuse_out_inside_source(command);
  command.labels = read_label_options(arguments);
  command.real = arguments.find("real").value_or("");
  PackOptions& pack = command.build.pack;
  pack.seed = arguments.number("seed");
  pack.shard_bytes = arguments.bytes("shard-size");
  if (pack.shard_bytes == 0) throw Error(ErrorKind::kUsage, "--shard-size: expected at least 1 byte, found 0");
  for (const std::string& text : arguments.all("shards")) read_shard_count(text, pack);
  pack.normalise = read_normalise(arguments);
  pack.reencode_probability = arguments.real("reencode-probability", 0, 1);
  command.threads = static_cast<uint32_t>(arguments.number("threads", 0, 1024));
  command.build.max_skipped = arguments.number("max-skipped");
  command.build.created_by = std::string("imgpack ") + IMGPACK_VERSION;
  command.accept_skipped = arguments.has("accept-skipped");
  command.accept_missing = arguments.has("accept-missing");
  command.quiet = arguments.has("quiet");
  command.json = arguments.has("json");
  return command;
}

}  // namespace imgpack
