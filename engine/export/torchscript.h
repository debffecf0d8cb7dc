// A ResNet as TorchScript, which Python's torch.jit.load and any libtorch run without this program.
//
//   ExportWeights --> torch::jit::Module with torchvision's structure --> bytes of the .pt archive
//
// Every layer is a module of its own, under torchvision's names, so that state_dict() of what is loaded is that of a
// torchvision ResNet (unless batch norms were folded or the module was frozen), and layers can be called and hooked.
#pragma once

#include <optional>
#include <string>

#include "engine/export/export_weights.h"
#include "engine/predict/portable/prepared_image.h"

namespace imgtrain {

struct TorchScriptOptions {
  bool freeze = false;  // torch.jit.freeze: weights become constants, calls are inlined, batch norms folded.
  // Takes decoded images instead of normalised numbers: uint8, N x H x W x 3, RGB, of any one size; resizes
  // (antialiased), crops and normalises. Not set: float N x 3 x H x W, normalised.
  std::optional<ImageView> preprocessing;
  std::string card;  // Stored inside as the extra file `model-card.json`; empty: none.
};

// The bytes of the archive. The output is N x classes logits. Throws c10::Error if libtorch refuses (a defect here).
std::string to_torchscript(const ExportWeights& weights, const TorchScriptOptions& options);

}  // namespace imgtrain
