// imgtrain predict: what a trained model sees on images, on a split of a packed data set, as text, JSON or a
// submission.
#include <unistd.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <cstdio>
#include <iostream>
#include <iterator>

#include "engine/predict/file_prediction.h"
#include "engine/predict/portable/submission.h"
#include "engine/predict/split_prediction.h"
#include "engine/train/run/json_text.h"
#include "format/error.h"
#include "format/file.h"
#include "format/ingest/image_kind.h"
#include "tools/cli/arguments.h"
#include "tools/cli/console.h"
#include "tools/cli/output_file.h"
#include "tools/cli/run_tool.h"
#include "tools/cli/stop_signals.h"
#include "tools/imgtrain/config_options.h"
#include "tools/imgtrain/console_listener.h"
#include "tools/imgtrain/data_files.h"
#include "tools/imgtrain/model_options.h"
#include "tools/imgtrain/verbs.h"

namespace imgtrain {
namespace {

namespace cli = imgpack::cli;
namespace json = boost::json;
using imgpack::Error;
using imgpack::ErrorKind;

constexpr const char* kStandardInput = "-";

json::array guesses_json(const std::vector<Guess>& guesses) {
  json::array top;
  for (const Guess& guess : guesses) {
    top.push_back(json::object{
        {"index", guess.index}, {"wnid", guess.wnid}, {"name", guess.name}, {"probability", guess.probability}});
  }
  return top;
}

void print_guesses(const std::string& image, const std::vector<Guess>& guesses) {
  std::cout << image << "\n";
  for (const Guess& guess : guesses) {
    char percent[16];
    std::snprintf(percent, sizeof percent, "%7.2f %%", 100 * guess.probability);
    std::cout << percent << "  " << guess.name;
    if (!guess.wnid.empty() && guess.wnid != guess.name) std::cout << " (" << guess.wnid << ")";
    std::cout << "\n";
  }
}

void print_file(const FilePrediction& answer, bool as_json) {
  if (!answer.error.empty()) {
    cli::console().warn(answer.name + ": " + answer.error);
    if (as_json)
      std::cout << compact_json(
                       json::object{{"message_type", "error"}, {"image", answer.name}, {"error", answer.error}})
                << "\n";
    return;
  }
  if (!as_json) {
    print_guesses(answer.name, answer.guesses);
    return;
  }
  std::cout << compact_json(json::object{{"message_type", "prediction"},
                                         {"image", answer.name},
                                         {"width", answer.width},
                                         {"height", answer.height},
                                         {"top", guesses_json(answer.guesses)}})
            << "\n";
}

// All of standard input, at most what one image may have.
std::string read_standard_input() {
  std::string text;
  char piece[1 << 16];
  while (const size_t got = std::fread(piece, 1, sizeof piece, stdin)) {
    text.append(piece, got);
    if (text.size() > kMaxImageFileBytes)
      throw Error(ErrorKind::kInvalidInput,
                  "standard input: more than " + std::to_string(kMaxImageFileBytes) + " bytes");
  }
  if (text.empty())
    throw Error(ErrorKind::kInvalidInput, "standard input: expected an image or a list of files, found nothing");
  return text;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    if (end > begin) lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

int predict_images(const cli::Arguments& arguments, std::vector<std::string> named) {
  imgpack::FileSystem& fs = imgpack::posix_file_system();
  const auto k = static_cast<int64_t>(arguments.number("top", 1, 1000));
  const bool as_json = arguments.has("json");
  std::string input;
  bool image_on_input = false;
  if (named.size() == 1 && named.front() == kStandardInput) {
    input = read_standard_input();
    // A list of files is text; whatever has the first bytes of an image is one.
    image_on_input =
        imgpack::ingest::guess_kind(std::as_bytes(std::span(input))).kind != imgpack::ingest::ImageKind::kNotAnImage;
    if (!image_on_input) named = lines_of(input);
  }
  if (!image_on_input) named = image_files(fs, named);
  const Predictor predictor(fs, arguments.positional("MODEL"), predictor_options(arguments),
                            [](const std::string& line) { cli::console().warn(line); });
  if (image_on_input) {
    const FilePrediction answer = predict_bytes(std::as_bytes(std::span(input)), kStandardInput, predictor, k);
    print_file(answer, as_json);
    return answer.error.empty() ? cli::kExitOk : cli::kExitSomeSkipped;
  }
  uint64_t bad = 0;
  const auto stop = [] { return cli::stop_reason() != cli::StopReason::kNone; };
  const bool done = predict_files(fs, named, predictor, k, stop, [&](FilePrediction&& answer) {
    if (!answer.error.empty()) ++bad;
    print_file(answer, as_json);
  });
  std::cout.flush();
  if (!done) cli::throw_if_stopped("the images before it are predicted");
  if (bad > 0 && !arguments.has("quiet"))
    cli::console().say(std::to_string(bad) + " of " + std::to_string(named.size()) + " images could not be used");
  return bad > 0 ? cli::kExitSomeSkipped : cli::kExitOk;
}

int predict_shards(const cli::Arguments& arguments) {
  imgpack::FileSystem& fs = data_files(arguments);
  const auto csv = arguments.find("csv"), sample = arguments.find("sample");
  if (csv) cli::require_folder_of(fs, *csv);
  std::vector<std::string> order;
  if (sample) order = read_sample_submission(fs, *sample);
  const bool as_json = arguments.has("json");
  // Answers that scroll by on a terminal are their own progress.
  ConsoleListener listener(cli::console(), arguments.has("quiet") || (!csv && isatty(STDOUT_FILENO) != 0));
  const Predictor predictor(fs, arguments.positional("MODEL"), predictor_options(arguments),
                            [&](const std::string& line) { listener.warn(line); });
  const auto classes = arguments.find("csv-classes") == "wnid" ? SubmissionClass::kWnid : SubmissionClass::kNumber;
  if (csv) {
    std::vector<std::string> wnids;
    for (const ModelClass& one : predictor.classes()) wnids.push_back(one.wnid);
    require_submission_classes(wnids, classes);
  }
  const int64_t k =
      csv ? static_cast<int64_t>(kSubmissionGuesses) : static_cast<int64_t>(arguments.number("top", 1, 1000));
  std::vector<SubmissionRow> rows;
  const auto take = [&](SplitPrediction&& image) {
    if (csv) {
      SubmissionRow row{std::filesystem::path(image.name).stem().string(), {}, image.width, image.height};
      for (Guess& guess : image.guesses) row.wnids.push_back(std::move(guess.wnid));
      rows.push_back(std::move(row));
    } else if (as_json) {
      json::object line{{"message_type", "prediction"},
                        {"image", image.name},
                        {"width", image.width},
                        {"height", image.height},
                        {"top", guesses_json(image.guesses)}};
      if (image.label >= 0) line["label"] = image.label;
      std::cout << compact_json(line) << "\n";
    } else {
      print_guesses(image.name, image.guesses);
    }
  };
  const std::string split = arguments.find("split").value_or("test");
  if (!predict_split(fs, arguments.text("shards"), split, predictor, k, listener, take))
    cli::throw_if_stopped(csv ? "nothing was written" : "the images before it are predicted");
  if (!csv) return cli::kExitOk;
  const size_t count = rows.size();
  imgpack::publish(fs, *csv, submission_csv(std::move(rows), classes, order));
  if (as_json) {
    std::cout << compact_json(json::object{{"message_type", "submission"}, {"csv", *csv}, {"images", count}}) << "\n";
  } else {
    std::cout << *csv << ": " << count << " images of split " << split << "\n";
  }
  return cli::kExitOk;
}

int run(const cli::Arguments& arguments) {
  const std::vector<std::string> images = arguments.positionals("IMAGE");
  const auto usage = [](const std::string& what) { throw Error(ErrorKind::kUsage, what); };
  if (arguments.has("shards")) {
    if (!images.empty()) usage("--shards predicts a split of a data set, and images were named beside it");
    if (arguments.has("sample") && !arguments.has("csv")) usage("--sample is the order of a --csv, and there is none");
    if (arguments.has("csv-classes") && !arguments.has("csv"))
      usage("--csv-classes is about the classes in a --csv, and there is none");
    return predict_shards(arguments);
  }
  for (const char* option : {"split", "csv", "sample", "csv-classes"})
    if (arguments.has(option)) usage(std::string("--") + option + " is about a split of a data set: give --shards too");
  if (images.empty()) usage("expected images, a folder of images or - for standard input, or --shards");
  for (const std::string& image : images)
    if (image == kStandardInput && images.size() > 1) usage("- (standard input) stands alone, beside no other images");
  return predict_images(arguments, images);
}

}  // namespace

cli::Verb predict_verb() {
  cli::Verb verb;
  verb.name = "predict";
  verb.summary = "name what a trained model sees on images";
  verb.description =
      "Prints the likeliest classes of each image with their probabilities. JPEG, PNG, WebP and BMP are taken by their "
      "content; they are resized and cropped exactly as in the run's evaluation. An image that cannot be used is "
      "reported, the others go on.\n\n"
      "IMAGE is a file, a folder (every image in it and below), or - for standard input: the bytes of one image, or a "
      "list of files and folders, one a line.\n\n"
      "With --shards a whole split of a packed data set is predicted at the speed of the input pipeline; it needs no "
      "labels. --csv writes that as a submission to the ImageNet challenge on Kaggle, with the whole image as every "
      "box.";
  verb.positionals = {
      model_positional(),
      {.name = "IMAGE", .help = "Images to look at; none with --shards.", .required = false, .repeatable = true}};
  verb.options = {
      {.name = "top", .value = "N", .help = "Classes to name for each image.", .default_value = "5"},
      cli::json_option(),
      cli::quiet_option(),
      {.name = "shards",
       .value = "DIR|URL",
       .help = "Predict a split of this packed data set, or of the one at this s3:// or https:// URL."},
      {.name = "split", .value = "NAME", .help = "With --shards: the split; test without it."},
      {.name = "csv",
       .value = "FILE",
       .help = "With --shards: write a submission (ImageId,PredictionString), five guesses a row, rows sorted by id."},
      {.name = "sample",
       .value = "FILE",
       .help = "With --csv: rows in the order of this LOC_sample_submission.csv; every image must be in both."},
      {.name = "csv-classes",
       .value = "KIND",
       .help = "How a submission writes classes: as numbers from 1, the line in LOC_synset_mapping.txt, which the "
               "challenge takes, or as WNIDs.",
       .default_value = "number",
       .choices = {"number", "wnid"}},
  };
  cli::append(verb.options, predictor_options());
  cli::append(verb.options,
              run_options({"eval_batch", "input_threads", "slots", "page_cache", "cache_dir", "on_bad_record"},
                          "WITH --shards"));
  cli::append(verb.options, url_options());
  verb.examples = {
      {"imgtrain predict runs/r1 cat.jpg", "the five likeliest classes"},
      {"find photos -name '*.webp' | imgtrain predict runs/r1 - --json", "a list of files, answers as JSON lines"},
      {"imgtrain predict runs/r1 --shards DIR --split test --csv submission.csv", "a submission to Kaggle"}};
  verb.exit_status = cli::usual_exit_status({{3, "finished, but some images could not be used"},
                                             {4, "shards or weights are damaged"},
                                             {5, "shards of a version that this build does not read"}});
  verb.run = run;
  return verb;
}

}  // namespace imgtrain
