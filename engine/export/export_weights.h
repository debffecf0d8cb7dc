// The tensors that a network for inference is made of, under torchvision's names; with batch norms folded where that
// was asked for.
//
//   ResNet --> ExportWeights --> torchscript.h, onnx.h
#pragma once

#include <torch/torch.h>

#include <map>
#include <string>

#include "engine/model/resnet.h"

namespace imgtrain {

struct ExportWeights {
  ResNetOptions options;
  // float, on the CPU, contiguous, without gradients, each with its own memory. Folded: a convolution NAME has a
  // NAME.bias, and there are no batch norms.
  std::map<std::string, torch::Tensor> tensors;

  bool has(const std::string& name) const { return tensors.contains(name); }
  const torch::Tensor& at(const std::string& name) const { return tensors.at(name); }
};

// `fold`: y = gamma (conv(x) - mean) / sqrt(var + eps) + beta becomes one convolution with a bias, calculated in double
// precision: the same function to rounding, and less work.
ExportWeights export_weights(const ResNetImpl& model, bool fold);

// Every convolution followed by a batch norm, as (convolution, batch norm): ("layer1.0.conv1", "layer1.0.bn1").
std::vector<std::pair<std::string, std::string>> normed_convolutions(const ResNetOptions& options);

}  // namespace imgtrain
