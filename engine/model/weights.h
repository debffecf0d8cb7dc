// Weights in and out of a model, under torchvision's names.
//
//   model --state_dict--> name -> tensor --write_weights--> X.safetensors --read_weights--> name -> tensor --load-->
//   model
//
// A state dict holds parameters and buffers, in the model's order. Its file carries metadata: what the model is, so
// that weights of another model are refused with a sentence instead of a list of shapes.
#pragma once

#include <torch/torch.h>

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "engine/model/resnet.h"
#include "format/file.h"

namespace imgtrain {

using NamedTensors = std::vector<std::pair<std::string, torch::Tensor>>;

// Parameters and buffers of a model. The tensors are the model's own: changing one changes the model.
NamedTensors state_dict(const torch::nn::Module& model);

struct TensorFile {
  NamedTensors tensors;  // In file order, on the CPU, contiguous, each with its own memory.
  std::map<std::string, std::string> metadata;
};

// Publishes a safetensors file (temporary file, sync, rename). Any device, any strides; throws Error(kIo), and
// Error(kInternal) for a kind of number that safetensors does not have.
void write_tensors(imgpack::FileSystem& fs, const std::filesystem::path& path, const NamedTensors& tensors,
                   const std::map<std::string, std::string>& metadata = {});
// Throws Error(kCorruption) naming what is wrong with a damaged or hostile file.
TensorFile read_tensors(imgpack::FileSystem& fs, const std::filesystem::path& path);

// How a model describes itself in metadata: {"model": "resnet50", "num_classes": "1000"}.
std::map<std::string, std::string> describe(const ResNetOptions& options);
// The reverse, for a file that says what it holds; else (a file of torchvision's) from names and shapes.
// Throws Error(kInvalidInput) if it is no ResNet of ours.
ResNetOptions options_of(const TensorFile& file, const std::filesystem::path& path);

enum class Classifier {
  kMustFit,
  kKeepOwnIfOther,  // Fine-tuning: a classifier (fc.*) of another number of classes is left as it was initialised.
};

// Copies tensors into the model (converting type and device). Every name must be there and have the model's shape, and
// nothing else (but num_batches_tracked, which files from before PyTorch 0.4.1 lack); otherwise Error(kInvalidInput)
// says whose weights these are, or lists what is missing, unexpected and of another shape. The model is then untouched.
void load_state_dict(ResNetImpl& model, const TensorFile& file, const std::filesystem::path& path,
                     Classifier classifier = Classifier::kMustFit);

// Classes of the shards that a model is about to see. Error(kInvalidInput) if their number differs from the model's.
void require_classes(const ResNetOptions& model, int64_t dataset_classes, const std::filesystem::path& dataset);

}  // namespace imgtrain
