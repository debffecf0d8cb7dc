// ServedModel: a Predictor as the prediction server sees a model (engine/serve/prediction_service.h).
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "engine/predict/predictor.h"
#include "engine/serve/prediction_service.h"

namespace imgtrain {

class PixelNormalizer;

struct ServedModelOptions {
  uint64_t max_pixels = 50'000'000;  // Of an image; beyond it prepare() refuses.
  std::string cam_layer;             // Of Grad-CAM; empty: the last stage.
};

class ServedModel : public serve::PredictionService {
 public:
  // `predictor` outlives this. Throws Error(kUsage) for a layer that is none.
  ServedModel(const Predictor& predictor, const ServedModelOptions& options);
  ~ServedModel() override;

  serve::ModelInfo info() const override;
  std::unique_ptr<serve::PreparedImage> prepare(std::string_view bytes) override;
  std::vector<std::vector<serve::Guess>> predict(const std::vector<const serve::PreparedImage*>& images,
                                                 size_t top) override;
  serve::Picture explain(const serve::PreparedImage& image, std::optional<int64_t> label) override;

  // An image is predicted and explained once, so that the first request does not wait for what libtorch does only then.
  void warm_up();

 private:
  const Predictor& predictor_;
  const uint64_t max_pixels_;
  const std::string cam_layer_;
  const std::string digest_;
  const std::unique_ptr<PixelNormalizer> normalizer_;  // Of explain().
};

}  // namespace imgtrain
