#include "engine/report/grad_cam.h"

#include <iterator>

#include "format/error.h"

namespace imgtrain {
namespace {

using imgpack::Error;
using imgpack::ErrorKind;
using torch::Tensor;

constexpr double kTiny = 1e-7;  // Of a map that is 0 everywhere: it stays so.

// Each map from 0 to 1.
Tensor stretched(const Tensor& maps) {
  const Tensor from_zero = maps - maps.amin({1, 2}, /*keepdim=*/true);
  return from_zero / (from_zero.amax({1, 2}, /*keepdim=*/true) + kTiny);
}

Tensor class_of_every_image(const Tensor& logits, const std::vector<int64_t>& classes) {
  if (classes.empty()) return logits.argmax(/*dim=*/1);
  for (const int64_t label : classes) {
    if (label >= 0 && label < logits.size(1)) continue;
    throw Error(ErrorKind::kUsage, "Grad-CAM: expected classes from 0 to " + std::to_string(logits.size(1) - 1) +
                                       ", found " + std::to_string(label));
  }
  return torch::tensor(classes, torch::kLong).to(logits.device());
}

}  // namespace

int grad_cam_stage(const std::string& layer) {
  std::string all;
  for (size_t i = 0; i < std::size(kGradCamLayers); ++i) {
    if (layer == kGradCamLayers[i]) return static_cast<int>(i) + 1;
    all += (i == 0 ? "" : ", ") + std::string(kGradCamLayers[i]);
  }
  throw Error(ErrorKind::kUsage, "Grad-CAM: expected one of " + all + " as the layer, found '" + layer + "'");
}

Tensor grad_cam(ResNet& model, const Tensor& images, const std::vector<int64_t>& classes, const std::string& layer) {
  const int stage = grad_cam_stage(layer);
  if (model->is_training()) throw Error(ErrorKind::kInternal, "Grad-CAM needs a model in eval() mode");
  if (images.dim() != 4 || images.size(1) != 3)
    throw Error(ErrorKind::kInternal, "Grad-CAM: expected images as N x 3 x H x W");
  if (!classes.empty() && static_cast<int64_t>(classes.size()) != images.size(0)) {
    throw Error(ErrorKind::kUsage, "Grad-CAM: expected a class for each of " + std::to_string(images.size(0)) +
                                       " images, found " + std::to_string(classes.size()));
  }
  Tensor activation;
  {
    const torch::NoGradGuard no_grad;
    activation = model->features(images, stage);
  }
  Tensor weights;
  {
    // What comes after the activation alone needs gradients. In eval() mode no image has a say in another's logits, so
    // that the gradient of their sum is each image's own.
    const torch::AutoGradMode with_gradients(true);
    Tensor leaf = activation.detach().requires_grad_(true);
    const Tensor logits = model->classify(leaf, stage);
    const Tensor scores = logits.gather(1, class_of_every_image(logits, classes).unsqueeze(1)).sum();
    const Tensor gradient = torch::autograd::grad({scores}, {leaf}).front();
    weights = gradient.mean({2, 3}, /*keepdim=*/true);
  }
  const torch::NoGradGuard no_grad;
  const Tensor maps = stretched((weights * activation).sum(/*dim=*/1).relu().to(torch::kFloat));
  const Tensor enlarged = torch::upsample_bilinear2d(maps.unsqueeze(1), {images.size(2), images.size(3)},
                                                     /*align_corners=*/false);
  return stretched(enlarged.squeeze(1)).cpu().contiguous();
}

}  // namespace imgtrain
