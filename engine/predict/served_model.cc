#include "engine/predict/served_model.h"

#include <torch/torch.h>

#include <span>
#include <utility>

#include "engine/model/resnet.h"
#include "engine/report/grad_cam.h"
#include "engine/report/portable/heat_map.h"
#include "engine/report/portable/picture.h"
#include "engine/serve/image_size.h"
#include "engine/train/batch_feed.h"
#include "engine/train/checkpoint.h"
#include "format/checksum.h"

namespace imgtrain {
namespace {

constexpr int kOverlayQuality = 88;

struct Prepared : serve::PreparedImage {
  imgtrain::PreparedImage image;
};

const imgtrain::PreparedImage& image_of(const serve::PreparedImage& image) {
  return static_cast<const Prepared&>(image).image;
}

}  // namespace

ServedModel::ServedModel(const Predictor& predictor, const ServedModelOptions& options)
    : predictor_(predictor),
      max_pixels_(options.max_pixels),
      cam_layer_(options.cam_layer.empty() ? kGradCamDefaultLayer : options.cam_layer),
      digest_(imgpack::to_hex(weights_digest(ResNet(predictor.network())))),
      normalizer_(std::make_unique<PixelNormalizer>(predictor.network()->parameters().front().device())) {
  grad_cam_stage(cam_layer_);
}

ServedModel::~ServedModel() = default;

serve::ModelInfo ServedModel::info() const {
  const PredictorFacts& facts = predictor_.facts();
  serve::ModelInfo info;
  info.name = facts.model;
  info.classes = static_cast<int64_t>(predictor_.classes().size());
  info.size = predictor_.view().size;
  info.resize = predictor_.view().resize;
  info.weights = facts.weights.filename().string();
  info.digest = digest_;
  info.device = facts.device;
  return info;
}

std::unique_ptr<serve::PreparedImage> ServedModel::prepare(std::string_view bytes) {
  const auto encoded = std::as_bytes(std::span(bytes));
  serve::require_pixels(encoded, max_pixels_);
  auto prepared = std::make_unique<Prepared>();
  prepared->image = predictor_.image(encoded, "");
  return prepared;
}

std::vector<std::vector<serve::Guess>> ServedModel::predict(const std::vector<const serve::PreparedImage*>& images,
                                                            size_t top) {
  std::vector<imgtrain::PreparedImage> batch;
  batch.reserve(images.size());
  for (const serve::PreparedImage* image : images) batch.push_back(image_of(*image));
  std::vector<std::vector<serve::Guess>> all;
  for (std::vector<imgtrain::Guess>& guesses : predictor_.predict(batch, static_cast<int64_t>(top))) {
    std::vector<serve::Guess> out;
    for (imgtrain::Guess& guess : guesses)
      out.push_back({guess.index, std::move(guess.wnid), std::move(guess.name), guess.probability});
    all.push_back(std::move(out));
  }
  return all;
}

serve::Picture ServedModel::explain(const serve::PreparedImage& image, std::optional<int64_t> label) {
  const imgtrain::PreparedImage& seen = image_of(image);
  const int64_t index = label ? *label : predictor_.predict({&seen, 1}, 1).front().front().index;
  const ModelClass& of = predictor_.classes().at(static_cast<size_t>(index));
  const auto side = static_cast<int64_t>(seen.size);
  torch::Tensor map;
  {
    const auto held = predictor_.turn();
    ResNet network(predictor_.network());
    const torch::Tensor weight = network->parameters().front();
    const torch::Tensor pixels =
        torch::from_blob(const_cast<uint8_t*>(seen.pixels.data()), {1, side, side, 3}, torch::kUInt8)
            .to(weight.device());
    map = grad_cam(network, (*normalizer_)(pixels).to(weight.scalar_type()), {index}, cam_layer_).contiguous();
  }
  const Picture shown{seen.size, seen.size, seen.pixels};
  const Picture heat =
      overlay(shown, {map.const_data_ptr<float>(), static_cast<size_t>(map.numel())}, seen.size, seen.size);
  return {"image/jpeg", jpeg_file(heat, kOverlayQuality), index, of.names};
}

void ServedModel::warm_up() {
  Prepared gray;
  gray.image.size = predictor_.view().size;
  gray.image.width = gray.image.height = gray.image.size;
  gray.image.pixels.assign(size_t{gray.image.size} * gray.image.size * 3, 128);
  predict({&gray}, 1);
  explain(gray, std::nullopt);
}

}  // namespace imgtrain
