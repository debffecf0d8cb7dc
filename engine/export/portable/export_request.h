// imgtrain export: a trained model as files that other programs run. No torch in here: programs include it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "engine/train/run/run_config.h"
#include "engine/train/run/weights_choice.h"
#include "format/file.h"

namespace imgtrain {

enum class ExportFormat {
  kSafetensors,  // NAME.safetensors: torchvision's names, metadata.
  kPth,          // NAME.pth: a state dict for torch.load(weights_only=True).
  kTorchScript,  // NAME.torchscript.pt: for torch.jit.load.
  kOnnx,         // NAME.onnx: for onnxruntime.
  kCard,         // model-card.json and model-card.md.
};
const std::vector<std::pair<std::string, ExportFormat>>& export_formats();  // By name, as a person types them.

struct ExportRequest {
  std::filesystem::path model;  // A run folder or a .safetensors file.
  std::filesystem::path out;    // Folder; made if it is not there. Files of these names in it are replaced.
  std::vector<ExportFormat> formats;
  WeightsChoice weights;
  ConfigLayer overrides;             // eval_size, eval_resize, eval_crop_ratio, interpolation.
  std::filesystem::path class_file;  // As in PredictorOptions.
  bool fold_batch_norm = false;      // TorchScript and ONNX.
  bool freeze = false;               // TorchScript.
  bool with_preprocessing = false;   // TorchScript and ONNX: take decoded bytes of any size.
  std::string created_by;            // `imgtrain 0.1.0`
};

struct ExportedFile {
  std::filesystem::path path;
  std::string format;
  uint64_t bytes = 0;
};

// Writes the files, each published whole, the card last. Throws Error: kUsage for options that none of the formats
// can follow, kInvalidInput, kCorruption and kIo as Predictor does.
std::vector<ExportedFile> export_model(imgpack::FileSystem& fs, const ExportRequest& request,
                                       const std::function<void(const std::string&)>& warn);

}  // namespace imgtrain
