// `imgtrain export`: opens a model as a Predictor does, and writes it in every format asked for.
#include <algorithm>
#include <utility>

#include "engine/export/export_weights.h"
#include "engine/export/onnx.h"
#include "engine/export/portable/export_request.h"
#include "engine/export/portable/model_card.h"
#include "engine/export/state_archive.h"
#include "engine/export/torchscript.h"
#include "engine/model/weights.h"
#include "engine/predict/predictor.h"
#include "engine/train/checkpoint.h"
#include "engine/train/run/json_text.h"
#include "format/checksum.h"
#include "format/error.h"

namespace imgtrain {
namespace {

using imgpack::Error;
using imgpack::ErrorKind;

bool wants(const ExportRequest& request, ExportFormat format) {
  return std::find(request.formats.begin(), request.formats.end(), format) != request.formats.end();
}

std::string name_of(ExportFormat format) {
  for (const auto& [name, one] : export_formats())
    if (one == format) return name;
  return {};
}

// An option that nothing asked for could follow is a mistake, not a wish.
void check(const ExportRequest& request) {
  if (request.formats.empty()) throw Error(ErrorKind::kUsage, "expected a format to export to, found none");
  const bool graphs = wants(request, ExportFormat::kTorchScript) || wants(request, ExportFormat::kOnnx);
  const auto refuse = [](const std::string& what) { throw Error(ErrorKind::kUsage, what); };
  if (request.fold_batch_norm && !graphs)
    refuse("fold-bn: torchvision's names have no place for a folded network; it needs the format torchscript or onnx");
  if (request.with_preprocessing && !graphs)
    refuse("with-preprocessing: a weights file holds no program; it needs the format torchscript or onnx");
  if (request.freeze && !wants(request, ExportFormat::kTorchScript))
    refuse("freeze: only TorchScript has this; it needs the format torchscript");
}

std::string input_text(const ExportRequest& request, ExportFormat format, const ImageView& view) {
  if (format == ExportFormat::kSafetensors || format == ExportFormat::kPth)
    return "a state dict under torchvision's names";
  const std::string size = std::to_string(view.size);
  if (request.with_preprocessing)
    return "uint8, N x height x width x 3, decoded RGB of any size; gives N logits of every class";
  return "float, N x 3 x " + size + " x " + size + ", resized, cropped and normalised; gives N logits of every class";
}

std::vector<std::string> folder_names(const std::vector<ModelClass>& classes) {
  std::vector<std::string> names;
  for (const ModelClass& one : classes) names.push_back(one.wnid);
  const bool known = std::all_of(names.begin(), names.end(), [](const std::string& name) { return !name.empty(); });
  return known ? names : std::vector<std::string>();
}

}  // namespace

const std::vector<std::pair<std::string, ExportFormat>>& export_formats() {
  static const std::vector<std::pair<std::string, ExportFormat>> formats = {{"safetensors", ExportFormat::kSafetensors},
                                                                            {"pth", ExportFormat::kPth},
                                                                            {"torchscript", ExportFormat::kTorchScript},
                                                                            {"onnx", ExportFormat::kOnnx},
                                                                            {"card", ExportFormat::kCard}};
  return formats;
}

std::vector<ExportedFile> export_model(imgpack::FileSystem& fs, const ExportRequest& request,
                                       const std::function<void(const std::string&)>& warn) {
  check(request);
  PredictorOptions options;
  options.weights = request.weights;
  options.overrides = request.overrides;
  options.overrides.values["device"] = "cpu";
  options.class_file = request.class_file;
  const Predictor predictor(fs, request.model, options, warn);
  const auto held = predictor.turn();
  const std::shared_ptr<ResNetImpl> network = predictor.network();
  const ImageView& view = predictor.view();

  ModelCard card;
  card.options = predictor.facts().options;
  card.parameters = static_cast<uint64_t>(parameter_count(*network));
  card.weights_digest = imgpack::to_hex(weights_digest(ResNet(network)));
  card.classes = predictor.classes();
  card.view = view;
  card.accuracy = predictor.facts().accuracy;
  card.validation_split = predictor.config().val_split;
  card.dataset_id = predictor.facts().dataset_id;
  card.run = predictor.facts().run_facts;
  card.exported_by = request.created_by;
  card.folded = request.fold_batch_norm;

  const std::string name = predictor.facts().model;
  std::vector<ExportedFile> written;
  fs.make_directories(request.out);
  const auto note = [&](ExportFormat format, const std::string& file, uint64_t bytes) {
    written.push_back({request.out / file, name_of(format), bytes});
    if (format != ExportFormat::kCard)
      card.files.push_back({file, name_of(format), input_text(request, format, view), bytes});
  };
  const auto publish = [&](ExportFormat format, const std::string& file, const std::string& bytes) {
    imgpack::publish(fs, request.out / file, bytes);
    note(format, file, bytes.size());
  };
  std::vector<std::string> class_names;
  for (const ModelClass& one : card.classes) class_names.push_back(one.names);
  auto metadata = weights_metadata(card.options, predictor.config(), folder_names(card.classes),
                                   predictor.facts().dataset_id, class_names);
  if (folder_names(card.classes).empty()) {
    metadata.erase("classes");
    metadata.erase("class_names");
  }
  if (metadata["dataset_id"].empty()) metadata.erase("dataset_id");

  if (wants(request, ExportFormat::kSafetensors)) {
    const std::string file = name + ".safetensors";
    write_tensors(fs, request.out / file, state_dict(*network), metadata);
    note(ExportFormat::kSafetensors, file, fs.open(request.out / file)->size());
  }
  if (wants(request, ExportFormat::kPth))
    publish(ExportFormat::kPth, name + ".pth", to_state_archive(state_dict(*network)));
  const ExportWeights weights = export_weights(*network, request.fold_batch_norm);
  const auto preprocessing = request.with_preprocessing ? std::optional(view) : std::nullopt;
  const std::string own_card = compact_json(to_json(card));
  if (wants(request, ExportFormat::kTorchScript))
    publish(ExportFormat::kTorchScript, name + ".torchscript.pt",
            to_torchscript(weights, {request.freeze, preprocessing, own_card}));
  if (wants(request, ExportFormat::kOnnx)) {
    OnnxOptions onnx{static_cast<int64_t>(view.size), preprocessing, metadata};
    onnx.metadata["model_card"] = own_card;
    publish(ExportFormat::kOnnx, name + ".onnx", to_onnx(weights, onnx));
  }
  if (wants(request, ExportFormat::kCard)) {
    publish(ExportFormat::kCard, "model-card.json", pretty_json(to_json(card)));
    publish(ExportFormat::kCard, "model-card.md", to_markdown(card));
  }
  return written;
}

}  // namespace imgtrain
