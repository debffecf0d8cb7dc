#include "tools/imgtrain/model_options.h"

#include "tools/imgtrain/config_options.h"

namespace imgtrain {

namespace cli = imgpack::cli;

cli::Positional model_positional() {
  return {.name = "MODEL",
          .help =
              "A run folder (its final weights, else its newest checkpoint) or a .safetensors file with "
              "torchvision's names."};
}

std::vector<cli::Option> weights_options() {
  return {
      {.name = "best",
       .value = "",
       .help = "Of a run folder: the checkpoint that did best in its evaluations, instead of the final weights."},
      {.name = "ema",
       .value = "yes|no",
       .help = "Of a run folder: the average of the weights over training (an error where the run keeps none), or the "
               "weights as they were trained. Without it: the average where the run keeps one.",
       .choices = {"yes", "no"}},
      {.name = "classes",
       .value = "FILE",
       .help = "Names of the classes, one a line, as in LOC_synset_mapping.txt. Without it: those that the weights "
               "were trained on; of a file that does not say, ILSVRC2012's if it has 1,000 outputs."},
  };
}

WeightsChoice weights_choice(const cli::Arguments& arguments) {
  WeightsChoice choice;
  choice.best = arguments.has("best");
  if (const auto ema = arguments.find("ema"))
    choice.average = *ema == "yes" ? AverageChoice::kRequired : AverageChoice::kNever;
  return choice;
}

ConfigLayer view_layer(const cli::Arguments& arguments) {
  ConfigLayer layer = flags_layer(arguments);
  layer.values.erase("ema");  // Here a choice between weights; the field of that name is about training.
  return layer;
}

std::vector<cli::Option> predictor_options() {
  std::vector<cli::Option> options = weights_options();
  options.push_back({.name = "apply-orientation",
                     .value = "",
                     .help = "Turn images as their EXIF data asks, as phones mean it. Off: pixels as stored, which is "
                             "what training and evaluation see."});
  for (cli::Option& option : run_options({"eval_size", "eval_resize", "eval_crop_ratio", "eval_flip", "interpolation",
                                          "precision", "device", "threads"})) {
    if (option.name == "precision") option.default_value = "fp32";
    options.push_back(std::move(option));
  }
  return options;
}

PredictorOptions predictor_options(const cli::Arguments& arguments) {
  PredictorOptions options;
  options.weights = weights_choice(arguments);
  options.overrides = view_layer(arguments);
  options.class_file = arguments.find("classes").value_or("");
  options.apply_orientation = arguments.has("apply-orientation");
  return options;
}

}  // namespace imgtrain
