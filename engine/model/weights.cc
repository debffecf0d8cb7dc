#include "engine/model/weights.h"

#include <algorithm>
#include <set>
#include <span>

#include "engine/model/portable/safetensors.h"
#include "format/error.h"

namespace imgtrain {
namespace {

using imgpack::Error;
using imgpack::ErrorKind;
using torch::Tensor;

// At most so many names in one message; the rest are counted.
constexpr size_t kNamesInMessage = 5;

struct TypePair {
  NumberType file;
  torch::Dtype memory;
};
constexpr TypePair kTypePairs[] = {
    {NumberType::kBool, torch::kBool},     {NumberType::kU8, torch::kUInt8},   {NumberType::kI8, torch::kInt8},
    {NumberType::kI16, torch::kInt16},     {NumberType::kU16, torch::kUInt16}, {NumberType::kF16, torch::kFloat16},
    {NumberType::kBf16, torch::kBFloat16}, {NumberType::kI32, torch::kInt32},  {NumberType::kU32, torch::kUInt32},
    {NumberType::kF32, torch::kFloat32},   {NumberType::kI64, torch::kInt64},  {NumberType::kU64, torch::kUInt64},
    {NumberType::kF64, torch::kFloat64},
};

NumberType file_type(const std::string& name, torch::Dtype type) {
  for (const TypePair& pair : kTypePairs)
    if (pair.memory == type) return pair.file;
  throw Error(ErrorKind::kInternal, "tensor '" + name + "' holds a kind of number that safetensors does not have: " +
                                        std::string(c10::toString(type)));
}

torch::Dtype memory_type(NumberType type) {
  return std::find_if(std::begin(kTypePairs), std::end(kTypePairs), [&](const TypePair& p) { return p.file == type; })
      ->memory;
}

// A module's own parameters and buffers come before those of its children: the order of Python's state_dict().
void collect(const torch::nn::Module& module, const std::string& prefix, NamedTensors& out) {
  for (const auto& item : module.named_parameters(/*recurse=*/false))
    out.emplace_back(prefix + item.key(), item.value());
  for (const auto& item : module.named_buffers(/*recurse=*/false)) out.emplace_back(prefix + item.key(), item.value());
  for (const auto& child : module.named_children()) collect(*child.value(), prefix + child.key() + ".", out);
}

std::string shape_text(at::IntArrayRef shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

void add_list(std::string& message, const char* title, const std::vector<std::string>& names) {
  if (names.empty()) return;
  message += std::string(message.back() == ':' ? " " : "; ") + title + " " + std::to_string(names.size()) + " (";
  for (size_t i = 0; i < std::min(names.size(), kNamesInMessage); ++i) message += (i ? ", " : "") + names[i];
  message += names.size() > kNamesInMessage ? ", …)" : ")";
}

const Tensor* find(const NamedTensors& tensors, const std::string& name) {
  const auto at = std::find_if(tensors.begin(), tensors.end(), [&](const auto& item) { return item.first == name; });
  return at == tensors.end() ? nullptr : &at->second;
}

// Names of what metadata says beside the model's: absent where it is the plain network.
constexpr const char* kStem = "stem";
constexpr const char* kDownsample = "downsample";
constexpr const char* kBlurPool = "blurpool";

// `, stem deep, blurpool ffcv`, empty for a plain network.
std::string variant_text(const std::map<std::string, std::string>& metadata) {
  std::string text;
  for (const char* key : {kStem, kDownsample, kBlurPool})
    if (const auto value = metadata.find(key); value != metadata.end())
      text += ", " + value->first + " " + value->second;
  return text;
}

std::string model_text(const ResNetOptions& options) {
  return model_name(options) + " with " + std::to_string(options.num_classes) + " classes" +
         variant_text(describe(options));
}

// How many blocks a stage has in a state dict.
int blocks_in(const NamedTensors& tensors, int stage) {
  int blocks = 0;
  while (find(tensors, "layer" + std::to_string(stage) + "." + std::to_string(blocks) + ".conv1.weight")) ++blocks;
  return blocks;
}

}  // namespace

NamedTensors state_dict(const torch::nn::Module& model) {
  NamedTensors tensors;
  collect(model, "", tensors);
  return tensors;
}

void write_tensors(imgpack::FileSystem& fs, const std::filesystem::path& path, const NamedTensors& tensors,
                   const std::map<std::string, std::string>& metadata) {
  std::vector<Tensor> plain;  // Keeps copies alive while they are written.
  std::vector<TensorToWrite> out;
  for (const auto& [name, tensor] : tensors) {
    plain.push_back(tensor.detach().to(torch::kCPU).contiguous());
    out.push_back({name,
                   file_type(name, tensor.scalar_type()),
                   tensor.sizes().vec(),
                   {static_cast<const std::byte*>(plain.back().const_data_ptr()), plain.back().nbytes()}});
  }
  write_tensor_file(fs, path, std::move(out), metadata);
}

TensorFile read_tensors(imgpack::FileSystem& fs, const std::filesystem::path& path) {
  const TensorFileReader reader(fs, path);
  if (reader.has_checksum()) reader.verify_checksum();
  TensorFile file;
  file.metadata = reader.metadata();
  for (const TensorHeader& header : reader.tensors()) {
    Tensor tensor = torch::empty(header.shape, torch::TensorOptions(memory_type(header.type)));
    reader.read(header, {static_cast<std::byte*>(tensor.mutable_data_ptr()), tensor.nbytes()});
    file.tensors.emplace_back(header.name, std::move(tensor));
  }
  return file;
}

std::map<std::string, std::string> describe(const ResNetOptions& options) {
  std::map<std::string, std::string> text{{"model", model_name(options)},
                                          {"num_classes", std::to_string(options.num_classes)}};
  if (options.stem == Stem::kDeep) text[kStem] = "deep";
  if (options.average_downsample) text[kDownsample] = "average";
  if (options.blurpool != BlurPool::kNone)
    text[kBlurPool] = options.blurpool == BlurPool::kConvolutions ? "ffcv" : "composer";
  return text;
}

ResNetOptions options_of(const TensorFile& file, const std::filesystem::path& path) {
  const auto refuse = [&](const std::string& what) {
    throw Error(ErrorKind::kInvalidInput, "these are no weights of a ResNet of this program: " + what, path, {},
                "weights must carry torchvision's names (conv1.weight, layer1.0.conv1.weight, …, fc.weight)");
  };
  const Tensor* classifier = find(file.tensors, "fc.weight");
  if (!classifier || classifier->dim() != 2) refuse("expected a matrix fc.weight, found none");
  ResNetArchitecture found;
  found.bottleneck = find(file.tensors, "layer1.0.conv3.weight") != nullptr;
  for (int stage = 1; stage <= 4; ++stage) found.blocks[stage - 1] = blocks_in(file.tensors, stage);

  ResNetOptions options;
  options.num_classes = classifier->size(0);
  // Stem and shortcuts show in the names, blurs only in what the file says.
  if (find(file.tensors, "conv1.0.weight")) options.stem = Stem::kDeep;
  const Tensor* shortcut = find(file.tensors, "layer2.0.downsample.1.weight");
  options.average_downsample = shortcut != nullptr && shortcut->dim() == 4;
  if (const auto blur = file.metadata.find(kBlurPool); blur != file.metadata.end()) {
    if (blur->second != "ffcv" && blur->second != "composer")
      refuse("expected blurpool ffcv or composer, found '" + blur->second + "'");
    options.blurpool = blur->second == "ffcv" ? BlurPool::kConvolutions : BlurPool::kAll;
  }
  for (const int depth : kResNetDepths) {
    options.depth = depth;
    if (resnet_architecture(depth) == found) return options;
  }
  refuse("expected the stages of a ResNet-18, 34, 50, 101 or 152, found " +
         shape_text(std::vector<int64_t>(found.blocks.begin(), found.blocks.end())) +
         (found.bottleneck ? " bottleneck" : " basic") + " blocks");
  return options;
}

void load_state_dict(ResNetImpl& model, const TensorFile& file, const std::filesystem::path& path,
                     Classifier classifier) {
  const auto said = file.metadata.find("model");
  const auto classes = file.metadata.find("num_classes");
  if (said != file.metadata.end() && classes != file.metadata.end()) {
    const auto own = describe(model.options());
    const bool same_classes = classes->second == own.at("num_classes") || classifier == Classifier::kKeepOwnIfOther;
    bool same = said->second == own.at("model");
    for (const char* key : {kStem, kDownsample, kBlurPool}) {
      const auto theirs = file.metadata.find(key), ours = own.find(key);
      same = same && (theirs == file.metadata.end() ? std::string() : theirs->second) ==
                         (ours == own.end() ? std::string() : ours->second);
    }
    if (!same || !same_classes)
      throw Error(ErrorKind::kInvalidInput,
                  "weights of another model: expected " + model_text(model.options()) + ", found " + said->second +
                      " with " + classes->second + " classes" + variant_text(file.metadata),
                  path);
  }
  std::vector<std::string> missing, unexpected, other_shape;
  std::vector<std::pair<Tensor, const Tensor*>> copies;
  std::set<std::string> known;
  for (const auto& [name, tensor] : state_dict(model)) {
    known.insert(name);
    const Tensor* stored = find(file.tensors, name);
    if (!stored) {
      if (!name.ends_with(".num_batches_tracked")) missing.push_back(name);
    } else if (stored->sizes() == tensor.sizes()) {
      copies.emplace_back(tensor, stored);
    } else if (!(classifier == Classifier::kKeepOwnIfOther && name.starts_with("fc."))) {
      other_shape.push_back(name + ": expected " + shape_text(tensor.sizes()) + ", found " +
                            shape_text(stored->sizes()));
    }
  }
  for (const auto& [name, tensor] : file.tensors)
    if (!known.contains(name)) unexpected.push_back(name);
  if (!missing.empty() || !unexpected.empty() || !other_shape.empty()) {
    std::string message = "the weights do not fit a " + model_text(model.options()) + ":";
    add_list(message, "missing", missing);
    add_list(message, "unexpected", unexpected);
    add_list(message, "of another shape", other_shape);
    throw Error(ErrorKind::kInvalidInput, message, path);
  }
  torch::NoGradGuard no_grad;
  for (auto& [own, stored] : copies) own.copy_(*stored);
}

void require_classes(const ResNetOptions& model, int64_t dataset_classes, const std::filesystem::path& dataset) {
  if (model.num_classes == dataset_classes) return;
  throw Error(ErrorKind::kInvalidInput,
              "model and shards have different classes: expected " + std::to_string(model.num_classes) +
                  " as the model has, found " + std::to_string(dataset_classes),
              dataset, {},
              "use the shards the model was trained on, or start a new model from these weights with --init");
}

}  // namespace imgtrain
