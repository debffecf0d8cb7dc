// Predictor: a trained model, ready to be asked what is on an image.
//
//   run folder or .safetensors --> Predictor
//   encoded bytes --image()--> PreparedImage --predict()--> the k likeliest classes, with names and probabilities
//
// Looks at images exactly as evaluation does, with the size, crop and filter that the run was evaluated with. No torch
// in here: servers and tools include it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/model/portable/resnet_options.h"
#include "engine/predict/portable/model_classes.h"
#include "engine/predict/portable/prepared_image.h"
#include "engine/train/run/run_config.h"
#include "engine/train/run/run_facts.h"
#include "engine/train/run/weights_choice.h"
#include "format/file.h"

namespace imgtrain {

class ResNetImpl;
class RunListener;

struct PredictorOptions {
  WeightsChoice weights;
  // Over what the run or the file says, under RunConfig's names: device, precision, threads, eval_size, eval_resize,
  // eval_crop_ratio, eval_flip, interpolation. Precision is fp32 where this layer does not say otherwise, so that
  // predictions are the same on every machine (to rounding).
  ConfigLayer overrides;
  std::filesystem::path
      class_file;  // Names of the classes instead of those that are known (model_classes.h). Empty: none.
  bool apply_orientation = false;  // Turn images as EXIF asks; see ImageView.
};

struct Guess {
  int64_t index = 0;       // Of the model's outputs.
  double probability = 0;  // Softmax, 0 to 1.
  std::string wnid, name;  // As in ModelClass: name holds all synonyms. wnid is empty where none is known.
};

// Of one image of a split.
struct SplitPrediction {
  std::string name;                // As the data set has it: `ILSVRC2012_test_00000001`.
  int64_t label = -1;              // Where the split has labels.
  uint32_t width = 0, height = 0;  // Pixels, as packed.
  std::vector<Guess> guesses;      // Likeliest first.
};
using TakePrediction = std::function<void(SplitPrediction&&)>;

// What is known about a model, beside its classes.
struct PredictorFacts {
  std::string model;  // `resnet50`
  ResNetOptions options;
  std::filesystem::path weights;      // The file that was read.
  std::filesystem::path run;          // Empty: a file was opened.
  std::optional<RunFacts> run_facts;  // Of a run.
  std::optional<Accuracy> accuracy;   // Of these weights, where the run knows it: percent, on its validation split.
  std::string dataset_id;             // Empty: not known.
  std::string device;                 // `cpu`, `cuda:0`
};

class Predictor {
 public:
  // Opens `model`: a run folder (its final weights, else its newest checkpoint; the average where it keeps one) or a
  // .safetensors file with torchvision's names. Sets libtorch's threads for the process. `warn` hears of what was
  // passed over. Throws Error: kUsage for options that cannot work, kInvalidInput where there is no such model,
  // kCorruption, kIo.
  Predictor(
      imgpack::FileSystem& fs, const std::filesystem::path& model, const PredictorOptions& options = {},
      const std::function<void(const std::string&)>& warn = [](const std::string&) {});
  ~Predictor();
  Predictor(const Predictor&) = delete;
  Predictor& operator=(const Predictor&) = delete;

  const PredictorFacts& facts() const;
  const std::vector<ModelClass>& classes() const;  // Position = output.
  const ImageView& view() const;
  // As the images were looked at in evaluation, with the overrides; the run's other settings beside them.
  const RunConfig& config() const;

  // Any number of threads at a time. Throws Error(kInvalidInput) with the reason for bytes that are no image, damaged,
  // of an unsupported kind, or too large; see prepare_image().
  PreparedImage image(std::span<const std::byte> encoded, const std::string& name) const;

  // The `k` likeliest classes of each image, likeliest first; all classes where the model has fewer. Any thread; calls
  // take turns. REQUIRES: images are of view().size; 1 <= k. An empty batch gives an empty answer.
  std::vector<std::vector<Guess>> predict(std::span<const PreparedImage> images, int64_t k) const;

  // Whose turn it is: hold this while the network itself is used (Grad-CAM), predict() waits meanwhile.
  std::unique_lock<std::mutex> turn() const;
  // The network, in evaluation mode on its device (channels_last). REQUIRES: turn() is held while it is used.
  std::shared_ptr<ResNetImpl> network() const;

 private:
  struct State;
  friend bool predict_split(imgpack::FileSystem& fs, const std::filesystem::path& shards, const std::string& split,
                            const Predictor& predictor, int64_t k, RunListener& listener, const TakePrediction& take);
  std::unique_ptr<State> state_;
};

}  // namespace imgtrain
