// imgtrain export: a trained model as files that other programs run.
#include <boost/json/object.hpp>
#include <iostream>

#include "engine/export/portable/export_request.h"
#include "engine/export/space_export.h"
#include "engine/train/run/json_text.h"
#include "format/error.h"
#include "format/file.h"
#include "tools/cli/arguments.h"
#include "tools/cli/console.h"
#include "tools/cli/run_tool.h"
#include "tools/cli/units.h"
#include "tools/imgtrain/config_options.h"
#include "tools/imgtrain/model_options.h"
#include "tools/imgtrain/verbs.h"

namespace imgtrain {
namespace {

namespace cli = imgpack::cli;

int run(const cli::Arguments& arguments) {
  ExportRequest request;
  request.model = arguments.positional("MODEL");
  const auto space = arguments.find("space");
  request.out = space ? *space : arguments.text("out");
  for (const std::string& asked : arguments.all("format"))
    for (const auto& [name, format] : export_formats())
      if (name == asked) request.formats.push_back(format);
  if (request.formats.empty())
    for (const auto& [name, format] : export_formats()) request.formats.push_back(format);
  request.weights = weights_choice(arguments);
  request.overrides = view_layer(arguments);
  request.overrides.values.erase("out");
  request.class_file = arguments.find("classes").value_or("");
  request.fold_batch_norm = arguments.has("fold-bn");
  request.freeze = arguments.has("freeze");
  request.with_preprocessing = arguments.has("with-preprocessing");
  request.created_by = "imgtrain " IMGPACK_VERSION;
  const auto warn = [](const std::string& line) { cli::console().warn(line); };
  imgpack::FileSystem& fs = imgpack::posix_file_system();
  if (space && (arguments.has("out") || arguments.has("format") || arguments.has("with-preprocessing") ||
                arguments.has("fold-bn") || arguments.has("freeze"))) {
    throw imgpack::Error(imgpack::ErrorKind::kUsage,
                         "--space writes weights and card only: --out, --format, --with-preprocessing, --fold-bn and "
                         "--freeze do not go with it");
  }
  if (!space && (arguments.has("examples") || arguments.has("image")))
    throw imgpack::Error(imgpack::ErrorKind::kUsage, "--examples and --image belong to --space");
  const auto files = space ? export_space(fs,
                                          {request, *space, arguments.text("image"),
                                           std::filesystem::path(arguments.find("examples").value_or(""))},
                                          warn)
                           : export_model(fs, request, warn);
  for (const ExportedFile& file : files) {
    if (arguments.has("json")) {
      std::cout << compact_json(boost::json::object{{"message_type", "export"},
                                                    {"path", file.path.string()},
                                                    {"format", file.format},
                                                    {"bytes", file.bytes}})
                << "\n";
    } else {
      std::cout << file.path.string() << "  " << file.format << ", " << cli::format_bytes(file.bytes) << "\n";
    }
  }
  return cli::kExitOk;
}

}  // namespace

cli::Verb export_verb() {
  cli::Verb verb;
  verb.name = "export";
  verb.summary = "write a trained model as files that other programs run";
  verb.description =
      "Writes the model into a folder, named after it:\n\n"
      "  safetensors  NAME.safetensors      weights under torchvision's names\n"
      "  pth          NAME.pth              the same for torch.load, weights only\n"
      "  torchscript  NAME.torchscript.pt   for torch.jit.load, without this program\n"
      "  onnx         NAME.onnx             for onnxruntime and other engines\n"
      "  card         model-card.json, .md  classes, preprocessing, accuracy, origin\n\n"
      "All of them unless --format says which. Each file is published whole. The programs among them (torchscript, "
      "onnx) give logits that equal this program's to rounding.";
  std::vector<std::string> names;
  for (const auto& [name, format] : export_formats()) names.push_back(name);
  verb.positionals = {model_positional()};
  verb.options = {
      {.name = "out",
       .value = "DIR",
       .help = "Folder to write to; files of these names in it are replaced. Required without --space."},
      {.name = "format", .value = "NAME", .help = "A format to write.", .choices = names, .repeatable = true},
      {.name = "with-preprocessing",
       .value = "",
       .help = "torchscript, onnx: take decoded RGB bytes of any size (N x height x width x 3) and resize, crop and "
               "normalise inside. Without it they take normalised numbers (N x 3 x size x size)."},
      {.name = "fold-bn",
       .value = "",
       .help = "torchscript, onnx: batch norms become part of the convolutions before them: less work, equal results "
               "to rounding."},
      {.name = "freeze",
       .value = "",
       .help = "torchscript: weights become constants and calls are inlined, as torch.jit.freeze does it: faster, and "
               "no longer to be trained or looked into."},
      {.name = "space",
       .value = "DIR",
       .help = "Instead: write a Docker Space (Hugging Face's form) that serves the model's page, ready to be pushed: "
               "README.md, Dockerfile, weights and card."},
      {.name = "image",
       .value = "NAME",
       .help = "space: container image that has the programs (scripts/docker/imgtrain.Dockerfile makes it), as the "
               "Space's builder finds it.",
       .default_value = "imgtrain:" IMGPACK_VERSION},
      {.name = "examples", .value = "DIR", .help = "space: images that the page offers to try."},
      cli::json_option(),
  };
  cli::append(verb.options, weights_options());
  cli::append(verb.options, run_options({"eval_size", "eval_resize", "eval_crop_ratio", "interpolation"}));
  verb.examples = {{"imgtrain export runs/r1 --out export", "every format, and the model card"},
                   {"imgtrain export runs/r1 --out web --format onnx --with-preprocessing --fold-bn",
                    "one file that takes decoded images"},
                   {"imgtrain export runs/r1 --space space --image example.org/imgtrain:0.1.0", "a folder to push"}};
  verb.exit_status = cli::usual_exit_status({{4, "the weights are damaged"}});
  verb.run = run;
  return verb;
}

}  // namespace imgtrain
