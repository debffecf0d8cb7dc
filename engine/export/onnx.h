// A ResNet as ONNX, which onnxruntime and most inference engines run.
//
//   ExportWeights --> torch::jit::Graph of onnx:: nodes --libtorch's own ONNX writer--> bytes of the .onnx file
//
// Operator set 18; weights are initializers under torchvision's names; the batch is a dynamic dimension.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "engine/export/export_weights.h"
#include "engine/predict/portable/prepared_image.h"

namespace imgtrain {

struct OnnxOptions {
  int64_t size = 224;  // Of the images: the input's height and width, pixels.
  // Takes decoded images `images`: uint8, N x H x W x 3, RGB, of any one size; resizes (antialiased), crops and
  // normalises. Not set: `input`: float N x 3 x size x size, normalised.
  std::optional<ImageView> preprocessing;
  std::map<std::string, std::string> metadata;  // metadata_props of the file.
};

// The bytes of the file. The output `logits` is N x classes. Throws c10::Error if libtorch refuses (a defect here).
std::string to_onnx(const ExportWeights& weights, const OnnxOptions& options);

}  // namespace imgtrain
