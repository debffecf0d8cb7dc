#include "engine/model/weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/expect_error.h"
#include "tests/support/memory_file_system.h"

namespace imgtrain {
namespace {

using imgpack::ErrorKind;
using imgpack::test::MemoryFileSystem;
using torch::Tensor;

ResNetOptions options_for(int depth, int64_t classes, uint64_t seed = 0) {
  ResNetOptions options;
  options.depth = depth;
  options.num_classes = classes;
  options.seed = seed;
  return options;
}

// A file with this model's weights, as write and read give it.
TensorFile file_of(const ResNet& model, bool with_description = true) {
  MemoryFileSystem fs;
  write_tensors(fs, "w", state_dict(*model),
                with_description ? describe(model->options()) : std::map<std::string, std::string>{});
  return read_tensors(fs, "w");
}

std::map<std::string, Tensor> copy_of(const ResNet& model) {
  std::map<std::string, Tensor> copy;
  for (const auto& [name, tensor] : state_dict(*model)) copy[name] = tensor.clone();
  return copy;
}

bool is_untouched(const ResNet& model, const std::map<std::string, Tensor>& before) {
  for (const auto& [name, tensor] : state_dict(*model))
    if (!torch::equal(tensor, before.at(name))) return false;
  return true;
}

TEST(Weights, ATripThroughAFileKeepsEveryBitAndTheLayout) {
  ResNet first(options_for(18, 10, 1)), second(options_for(18, 10, 2));
  to_channels_last(*first);
  to_channels_last(*second);
  first->named_buffers()["bn1.num_batches_tracked"].fill_(7);
  load_state_dict(*second, file_of(first), "w");
  EXPECT_TRUE(is_untouched(second, copy_of(first)));
  EXPECT_TRUE(second->named_parameters()["layer1.0.conv1.weight"].is_contiguous(at::MemoryFormat::ChannelsLast));
}

TEST(Weights, EveryKindOfNumberTravels) {
  MemoryFileSystem fs;
  const NamedTensors tensors = {{"b", torch::tensor({true, false})},
                                {"u8", torch::arange(3, torch::kUInt8)},
                                {"f16", torch::arange(3, torch::kHalf)},
                                {"bf16", torch::arange(3, torch::kBFloat16)},
                                {"f64", torch::arange(3, torch::kDouble)},
                                {"i64", torch::tensor(5, torch::kLong)},
                                {"strided", torch::arange(12.0f).view({3, 4}).t()},
                                {"empty", torch::empty({0, 3})}};
  write_tensors(fs, "w", tensors);
  const TensorFile file = read_tensors(fs, "w");
  ASSERT_EQ(file.tensors.size(), tensors.size());
  for (const auto& [name, tensor] : file.tensors) {
    const auto expected = std::find_if(tensors.begin(), tensors.end(), [&](const auto& t) { return t.first == name; });
    EXPECT_TRUE(torch::equal(tensor, expected->second)) << name;
    EXPECT_EQ(tensor.scalar_type(), expected->second.scalar_type()) << name;
  }
  EXPECT_ERROR(write_tensors(fs, "w", {{"c", torch::zeros({2}, torch::kComplexFloat)}}), ErrorKind::kInternal, "'c'");
}

TEST(Weights, AModelIsRecognisedFromItsNamesAndShapes) {
  for (const int depth : {18, 34, 50}) {
    const ResNetOptions options = options_of(file_of(ResNet(options_for(depth, 7)), false), "w");
    EXPECT_EQ(options.depth, depth);
    EXPECT_EQ(options.num_classes, 7);
  }
  TensorFile file;
  EXPECT_ERROR(options_of(file, "w"), ErrorKind::kInvalidInput, "fc.weight");
  file.tensors.emplace_back("fc.weight", torch::zeros({10, 512}));
  EXPECT_ERROR(options_of(file, "w"), ErrorKind::kInvalidInput, "[0, 0, 0, 0]");
}

TEST(Weights, ACheckpointOfAnotherModelIsNamedAndLeavesTheModelAlone) {
  ResNet model(options_for(18, 10));
  const auto before = copy_of(model);
  EXPECT_ERROR(
      load_state_dict(*model, file_of(ResNet(options_for(34, 10))), "w.safetensors"), ErrorKind::kInvalidInput,
      "w.safetensors: weights of another model: expected resnet18 with 10 classes, found resnet34 with 10 classes");
  EXPECT_ERROR(load_state_dict(*model, file_of(ResNet(options_for(18, 11))), "w"), ErrorKind::kInvalidInput,
               "found resnet18 with 11 classes");
  EXPECT_TRUE(is_untouched(model, before));
}

TEST(Weights, MissingUnexpectedAndMisshapenTensorsAreListed) {
  ResNet model(options_for(18, 10));
  const auto before = copy_of(model);
  TensorFile file = file_of(model, false);
  for (auto& [name, tensor] : file.tensors) {
    if (name == "bn1.bias") name = "bn1.offset";
    if (name == "fc.weight") tensor = torch::zeros({11, 512});
  }
  EXPECT_ERROR(
      load_state_dict(*model, file, "w"), ErrorKind::kInvalidInput,
      "missing 1 (bn1.bias); unexpected 1 (bn1.offset); of another shape 1 (fc.weight: expected [10, 512], found "
      "[11, 512])");
  EXPECT_ERROR(load_state_dict(*model, file_of(ResNet(options_for(50, 10)), false), "w"), ErrorKind::kInvalidInput,
               "…");
  EXPECT_TRUE(is_untouched(model, before));
}

TEST(Weights, FineTuningKeepsItsOwnClassifierAndTakesTheRest) {
  ResNet source(options_for(18, 10, 1)), model(options_for(18, 3, 2));
  const auto before = copy_of(model);
  load_state_dict(*model, file_of(source), "w", Classifier::kKeepOwnIfOther);
  EXPECT_TRUE(torch::equal(model->named_parameters()["fc.weight"], before.at("fc.weight")));
  EXPECT_TRUE(torch::equal(model->named_parameters()["conv1.weight"], source->named_parameters()["conv1.weight"]));
}

TEST(Weights, FilesFromBeforeBatchesWereCountedAreTaken) {
  ResNet model(options_for(18, 10));
  TensorFile file = file_of(model);
  std::erase_if(file.tensors, [](const auto& item) { return item.first.ends_with("num_batches_tracked"); });
  load_state_dict(*model, file, "w");
}

TEST(Weights, HalfPrecisionWeightsBecomeTheModelsPrecision) {
  ResNet model(options_for(18, 10));
  TensorFile file = file_of(model);
  for (auto& [name, tensor] : file.tensors)
    if (tensor.is_floating_point()) tensor = tensor.to(torch::kHalf);
  load_state_dict(*model, file, "w");
  EXPECT_EQ(model->named_parameters()["conv1.weight"].scalar_type(), torch::kFloat);
}

TEST(Weights, ADamagedFileIsCorruption) {
  MemoryFileSystem fs;
  write_tensors(fs, "w", {{"a", torch::arange(100.0f)}});
  std::string bytes = fs.bytes("w");
  bytes[bytes.size() - 7] ^= 1;
  fs.set_bytes("w", bytes);
  EXPECT_ERROR(read_tensors(fs, "w"), ErrorKind::kCorruption, "w: checksum mismatch");
}

TEST(Weights, ShardsOfOtherClassesAreRefused) {
  EXPECT_NO_THROW(require_classes(options_for(18, 10), 10, "x.shards"));
  EXPECT_ERROR(require_classes(options_for(18, 10), 1000, "x.shards"), ErrorKind::kInvalidInput,
               "x.shards: model and shards have different classes: expected 10 as the model has, found 1000");
}

}  // namespace
}  // namespace imgtrain
