// What a model costs, layer by layer, for one image: output shapes, parameters, multiply-adds and memory. Arithmetic on
// the architecture; no model is made and no libtorch is needed.
//
//   Conv2d-1      conv1          [64, 112, 112]      9,408 parameters   118,013,952 MACs
//   BatchNorm2d-2 bn1            [64, 112, 112]        128
//   …
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/model/portable/resnet_options.h"

namespace imgtrain {

struct LayerSummary {
  std::string kind;                   // `Conv2d`, `BatchNorm2d`, `ReLU`, `MaxPool2d`, `Bottleneck`, …
  std::string name;                   // `layer1.0.conv1`: where its parameters are.
  std::vector<int64_t> output_shape;  // Without the batch: channels, height, width.
  int64_t parameters = 0;
  int64_t macs = 0;  // Multiply-adds of a convolution or linear layer; 0 for the rest, which memory limits.
};

struct ModelSummary {
  std::vector<LayerSummary> layers;  // In the order in which they finish, as torchsummary lists them.
  int64_t parameters = 0;
  int64_t macs = 0;
  // torchsummary's definitions, in MiB of 32-bit floats for one image: the image; every row's output once for forward
  // and once for backward; the parameters; all three.
  double input_mib = 0, forward_backward_mib = 0, parameters_mib = 0, total_mib = 0;
  // Estimate of the bytes that one image moves to and from memory, without weights and with no layers fused: each layer
  // reads its inputs and writes its output once, batch norm in training reads its input twice; backward reads the
  // gradient twice and the saved input twice and writes a gradient (ReLU and pooling: once each).
  double forward_traffic_mib = 0, training_traffic_mib = 0;
  int bytes_per_number = 4;  // Of activations, in the two lines above alone.
};

// Throws Error(kUsage) for a size that is not positive or beyond 65,536, and for options that make no model.
// `bytes_per_number` is that of activations (2 in AMP) and only concerns the traffic estimate.
ModelSummary summarize(const ResNetOptions& options, int64_t height, int64_t width, int bytes_per_number = 4);

// The table and the totals as text, in torchsummary's form.
std::string to_text(const ModelSummary& summary);
// The same as one JSON object.
std::string to_json(const ModelSummary& summary);

}  // namespace imgtrain
