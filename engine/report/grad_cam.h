// Grad-CAM: which part of an image a network looked at when it scored a class.
//
//   image -> stage's activation A (C x h x w) -> logits -> gradient of the class's logit at A, averaged over h x w: w_c
//   map = relu(sum over c of w_c * A_c), stretched to 0..1, enlarged to the image's size
//
// Source: Selvaraju et al., arXiv 1610.02391; normalisation and enlarging as the PyPI package grad-cam 1.5.7 has them
// (tests/parity/test_grad_cam.py compares the two).
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <string>
#include <vector>

#include "engine/model/resnet.h"

namespace imgtrain {

// The stages that a map can be of, from fine to coarse; the last is where classes are told apart best.
inline constexpr const char* kGradCamLayers[] = {"layer1", "layer2", "layer3", "layer4"};
inline constexpr const char* kGradCamDefaultLayer = "layer4";

// `images`: N x 3 x H x W, normalised, of the model's type and device. `classes`: one class for every image, or empty
// for those that the model predicts. Returns N x H x W, float, on the CPU, each map from 0 to 1 (all 0 where nothing
// speaks for the class).
//
// Memory: activations of one batch behind the layer, and their gradients; parameters get none (their grad() is not
// touched). Several threads may call it on one model at a time, as long as none of them changes the model; not under
// c10::InferenceMode, whose tensors know no gradients. REQUIRES: the model is in eval() mode.
// Throws Error(kUsage) for a layer that is none, naming those there are, and for a class or count out of range.
torch::Tensor grad_cam(ResNet& model, const torch::Tensor& images, const std::vector<int64_t>& classes = {},
                       const std::string& layer = kGradCamDefaultLayer);

// 1 to 4 for `layer1` to `layer4`. Throws Error(kUsage).
int grad_cam_stage(const std::string& layer);

}  // namespace imgtrain
