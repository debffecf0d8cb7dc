// PredictionService: what the prediction server needs of a model, and all that it sees of one. No torch in here.
//
//   bytes -prepare()-> PreparedImage -predict() in batches-> guesses
//                                    -explain()-----------> a picture of where the model looked
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace imgtrain::serve {

// One image as the model takes it. Only the service that made it knows what is inside.
class PreparedImage {
 public:
  virtual ~PreparedImage() = default;
};

struct Guess {
  int64_t index = 0;  // Of the class, from 0.
  std::string wnid;   // Empty where the model does not know it.
  std::string name;
  double probability = 0;  // 0 to 1.
};

struct ModelInfo {
  std::string name;  // `resnet50`
  int64_t classes = 0;
  int64_t size = 0, resize = 0;  // Centre crop after the short side was resized.
  std::string weights;           // Name of the file they came from.
  std::string digest;            // Of the weights, as a model card has it; empty: not known.
  std::string device;            // `cpu`, `cuda:0`
};

// A picture for a browser.
struct Picture {
  std::string content_type;  // `image/png`
  std::string bytes;
  int64_t index = 0;  // Of the class that it explains.
  std::string name;   // Of that class.
};

class PredictionService {
 public:
  virtual ~PredictionService() = default;
  virtual ModelInfo info() const = 0;

  // Decodes and preprocesses an image from outside. Thread-safe. Throws Error(kInvalidInput) that says why, where it is
  // no image, damaged, or beyond the limit of pixels.
  virtual std::unique_ptr<PreparedImage> prepare(std::string_view bytes) = 0;

  // The `top` most probable classes of each image, most probable first. One thread at a time, the same as explain()'s.
  virtual std::vector<std::vector<Guess>> predict(const std::vector<const PreparedImage*>& images, size_t top) = 0;

  // Grad-CAM over the image as the model sees it, for `label` or, without one, the most probable class.
  // REQUIRES: label < info().classes.
  virtual Picture explain(const PreparedImage& image, std::optional<int64_t> label) = 0;
};

}  // namespace imgtrain::serve
