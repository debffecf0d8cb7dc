// What is inside a Predictor, for the files of engine/predict that see torch: the network, and tensors of images in,
// guesses out.
#pragma once

#include <torch/torch.h>

#include <string>
#include <vector>

#include "engine/model/resnet.h"
#include "engine/predict/predictor.h"
#include "engine/train/batch_feed.h"

namespace imgtrain {

struct Predictor::State {
  PredictorFacts facts;
  std::vector<ModelClass> classes;
  ImageView view;
  RunConfig config;
  torch::Device device{torch::kCPU};
  ResNet model{nullptr};
  std::unique_ptr<PixelNormalizer> normalizer;
  std::mutex turn;  // Of normalizer and model.

  // uint8 N x size x size x 3 on the device -> for each image the k likeliest. REQUIRES: `turn` is held.
  std::vector<std::vector<Guess>> guess(const torch::Tensor& images, int64_t k);
};

}  // namespace imgtrain
