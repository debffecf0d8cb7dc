// Which weights a person means by a run folder or a file, and what is known about looking at images with them.
//
//   runs/r1 ----> weights.safetensors, else the newest whole checkpoint, or the best one    --+
//   X.safetensors ---------------------------------------------------------------------------+--> WeightsSource
#pragma once

#include <torch/torch.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "engine/model/weights.h"
#include "engine/train/run/run_config.h"
#include "engine/train/run/run_facts.h"
#include "engine/train/run/weights_choice.h"
#include "format/file.h"

namespace imgtrain {

struct WeightsSource {
  std::filesystem::path path;  // The file that was read.
  std::filesystem::path run;   // The run folder it belongs to; empty: the file was named itself.
  TensorFile file;
  ConfigLayer config;             // The run's configuration, or the image sizes that the file states.
  std::optional<RunFacts> facts;  // Of a run.
  // Of exactly these weights, where the run knows it: the last evaluation's of final weights, the best one's of the
  // best checkpoint.
  std::optional<Accuracy> accuracy;
};

// `path`: a run folder, or a .safetensors file with torchvision's names. `warn` hears of damaged checkpoints that were
// passed over. Throws Error(kUsage) for a choice that a file or this run does not offer, Error(kInvalidInput) where
// there are no weights, Error(kCorruption), Error(kIo).
WeightsSource open_weights(imgpack::FileSystem& fs, const std::filesystem::path& path, const WeightsChoice& choice,
                           const std::function<void(const std::string&)>& warn);

}  // namespace imgtrain
