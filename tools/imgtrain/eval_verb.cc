// imgtrain eval: the weights of a run or of a file, measured on a split.
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <iostream>
#include <string_view>

#include "engine/train/run/json_text.h"
#include "engine/train/run/launch.h"
#include "engine/train/trainer.h"
#include "format/error.h"
#include "format/file.h"
#include "tools/cli/arguments.h"
#include "tools/cli/console.h"
#include "tools/cli/report_signal.h"
#include "tools/cli/run_tool.h"
#include "tools/cli/stop_signals.h"
#include "tools/imgtrain/config_options.h"
#include "tools/imgtrain/console_listener.h"
#include "tools/imgtrain/data_files.h"
#include "tools/imgtrain/rank_options.h"
#include "tools/imgtrain/verbs.h"

namespace imgtrain {
namespace {

namespace cli = imgpack::cli;

constexpr size_t kMaxSizes = 16;

// `224/256,288/320`: crop and short side before it.
std::vector<std::pair<int64_t, int64_t>> parse_sizes(const std::string& text) {
  const auto refuse = [&] {
    throw imgpack::Error(imgpack::ErrorKind::kUsage,
                         "--sizes: expected pairs CROP/RESIZE of 16 to 2048 pixels, crop at most resize, as in "
                         "224/256,288/320, found '" +
                             text + "'");
  };
  const auto number = [&](std::string_view digits) {
    int64_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc() || end != digits.data() + digits.size() || value < 16 || value > 2048) refuse();
    return value;
  };
  std::vector<std::pair<int64_t, int64_t>> sizes;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string_view pair = std::string_view(text).substr(begin, end - begin);
    const size_t slash = pair.find('/');
    if (slash == std::string_view::npos) refuse();
    sizes.emplace_back(number(pair.substr(0, slash)), number(pair.substr(slash + 1)));
    if (sizes.back().first > sizes.back().second || sizes.size() > kMaxSizes) refuse();
    begin = end + 1;
  }
  return sizes;
}

void print_result(const EvaluateOutcome& outcome, const SizeResult& result, bool json) {
  const Totals& totals = result.totals;
  if (json) {
    boost::json::object line{{"message_type", "evaluation"},      {"split", outcome.split},
                             {"images", totals.samples},          {"loss", totals.loss()},
                             {"accuracy", totals.top1_percent()}, {"accuracy_top5", totals.top5_percent()},
                             {"seconds", totals.seconds},         {"model", outcome.model},
                             {"classes", outcome.classes},        {"weights", outcome.weights.string()},
                             {"eval_size", result.size},          {"eval_resize", result.resize}};
    if (result.real) {
      line["accuracy_real"] = result.real->percent();
      line["images_real"] = result.real->images;
    }
    std::cout << compact_json(line) << "\n";
    return;
  }
  char text[200];
  std::snprintf(text, sizeof(text), "loss %.4f  top-1 %.2f %%  top-5 %.2f %%", totals.loss(), totals.top1_percent(),
                totals.top5_percent());
  std::cout << outcome.split;
  if (outcome.sizes.size() > 1) std::cout << " " << result.size << "/" << result.resize;
  std::cout << ": " << totals.samples << " images  " << text;
  if (result.real) {
    std::snprintf(text, sizeof(text), "  ReaL %.2f %% of %llu", result.real->percent(),
                  static_cast<unsigned long long>(result.real->images));
    std::cout << text;
  }
  std::cout << "\n";
}

// FILE for one size, FILE with the size before its suffix for several: classes.csv -> classes-224-256.csv.
void write_classes(const EvaluateOutcome& outcome, const std::filesystem::path& path) {
  for (const SizeResult& result : outcome.sizes) {
    std::filesystem::path target = path;
    if (outcome.sizes.size() > 1) {
      target.replace_filename(path.stem().string() + "-" + std::to_string(result.size) + "-" +
                              std::to_string(result.resize) + path.extension().string());
    }
    imgpack::publish(imgpack::posix_file_system(), target, class_csv(outcome.class_list, result.per_class));
  }
}

int run(const cli::Arguments& arguments) {
  EvaluateRequest request;
  request.shards = arguments.text("shards");
  request.checkpoint = arguments.text("checkpoint");
  request.split = arguments.find("split").value_or("");
  request.best = arguments.has("best");
  if (const auto sizes = arguments.find("sizes")) request.sizes = parse_sizes(*sizes);
  request.overrides = flags_layer(arguments);
  if (const auto code = launched_ranks(arguments)) return *code;
  cli::catch_report_signal();
  ConsoleListener listener(cli::console(), arguments.has("quiet"), launch_from_environment().rank);
  const EvaluateOutcome outcome = evaluate(data_files(arguments), request, listener);
  if (outcome.stopped) cli::throw_if_stopped("nothing was written");
  if (!outcome.leads) return cli::kExitOk;
  for (const SizeResult& result : outcome.sizes) print_result(outcome, result, arguments.has("json"));
  if (const auto path = arguments.find("per-class")) write_classes(outcome, *path);
  return cli::kExitOk;
}

}  // namespace

cli::Verb eval_verb() {
  cli::Verb verb;
  verb.name = "eval";
  verb.summary = "measure loss, top-1 and top-5 of a trained model";
  verb.description =
      "Evaluates on every image of a split exactly once: short side resized to --eval-resize, centre crop of "
      "--eval-size. The loss is cross-entropy without smoothing, as a mean per image. Where the data set has ReaL "
      "labels "
      "of the split (label set `real`), the share of images whose first guess is any of theirs stands beside it; "
      "images "
      "without a ReaL label are left out of that.";
  verb.options = {
      {.name = "checkpoint",
       .value = "RUN|FILE",
       .help = "A run folder (its final weights, else its newest checkpoint) or a .safetensors file with torchvision's "
               "names. Required."},
      {.name = "split", .value = "NAME", .help = "Split to measure on; the run's own without it."},
      {.name = "best",
       .value = "",
       .help = "Of a run folder: the checkpoint that did best in its evaluations, instead of the final weights."},
      {.name = "sizes",
       .value = "LIST",
       .help = "Measure at several image sizes in one pass, as CROP/RESIZE: 224/256,288/320. One line each."},
      {.name = "per-class",
       .value = "FILE",
       .help = "Write images, hits and accuracies of every class as CSV; for several --sizes the sizes stand in the "
               "names."},
      cli::json_option(),
      cli::quiet_option(),
  };
  cli::append(verb.options, rank_options());
  const std::vector<std::string> fields = {
      "shards",        "eval_size",  "eval_resize", "eval_crop_ratio", "eval_flip",    "eval_batch",
      "interpolation", "decoder",    "precision",   "device",          "threads",      "input_threads",
      "slots",         "page_cache", "cache_dir",   "on_bad_record",   "rank_timeout", "log_seconds"};
  cli::append(verb.options, run_options(fields));
  for (cli::Option& option : url_options()) {
    option.group.clear();
    option.help = "Where --shards is a URL: " + option.help;
    verb.options.push_back(std::move(option));
  }
  verb.examples = {
      {"imgtrain eval --shards DIR --checkpoint runs/r1", "the result of a run"},
      {"imgtrain eval --shards DIR --checkpoint resnet50.safetensors --eval-resize 232", "weights of another program"}};
  verb.exit_status = cli::usual_exit_status(
      {{4, "shards or weights are damaged"}, {5, "shards of a version that this build does not read"}});
  verb.run = run;
  return verb;
}

}  // namespace imgtrain
