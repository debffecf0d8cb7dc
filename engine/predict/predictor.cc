#include "engine/predict/predictor.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "engine/predict/predictor_state.h"
#include "engine/train/compute_device.h"
#include "engine/train/evaluator.h"
#include "engine/train/model_setup.h"
#include "engine/train/weights_source.h"
#include "format/error.h"

namespace imgtrain {
namespace {

using imgpack::Error;
using imgpack::ErrorKind;

ImageView view_of(const RunConfig& config, bool apply_orientation) {
  ImageView view;
  view.size = static_cast<uint32_t>(config.eval_size);
  view.resize = static_cast<uint32_t>(config.eval_resize);
  view.crop_ratio = config.eval_crop_ratio;
  view.filter = config.interpolation == Interpolation::kBilinear ? imgpack::jpeg::Filter::kBilinear
                                                                 : imgpack::jpeg::Filter::kBicubic;
  view.apply_orientation = apply_orientation;
  return view;
}

std::string metadata_of(const TensorFile& file, const std::string& key) {
  const auto found = file.metadata.find(key);
  return found == file.metadata.end() ? std::string() : found->second;
}

}  // namespace

std::vector<std::vector<Guess>> Predictor::State::guess(const torch::Tensor& images, int64_t k) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor logits = evaluation_logits(model, (*normalizer)(images), device, config);
  const torch::Tensor probabilities = torch::softmax(logits.to(torch::kDouble), 1);
  auto [top, index] = probabilities.topk(std::min<int64_t>(k, probabilities.size(1)), 1);
  top = top.cpu().contiguous();
  index = index.cpu().contiguous();
  std::vector<std::vector<Guess>> guesses(static_cast<size_t>(top.size(0)));
  const double* probability = top.const_data_ptr<double>();
  const int64_t* label = index.const_data_ptr<int64_t>();
  for (auto& of_image : guesses) {
    for (int64_t i = 0; i < top.size(1); ++i, ++probability, ++label) {
      const ModelClass& one = classes[static_cast<size_t>(*label)];
      of_image.push_back({*label, *probability, one.wnid, one.names});
    }
  }
  return guesses;
}

Predictor::Predictor(imgpack::FileSystem& fs, const std::filesystem::path& model, const PredictorOptions& options,
                     const std::function<void(const std::string&)>& warn)
    : state_(std::make_unique<State>()) {
  WeightsSource source = open_weights(fs, model, options.weights, warn);
  const ConfigLayer precision{"predictions", {{"precision", "fp32"}}};
  const ConfigLayer layers[] = {source.config, precision, options.overrides};
  State& state = *state_;
  state.config = resolve(layers).values;
  state.view = view_of(state.config, options.apply_orientation);
  state.device = choose_device(state.config);
  configure_compute(state.config, state.device);
  state.model = load_model(source.file, source.path, state.device);
  if (state.config.precision == Precision::kFp64) to_double(*state.model);
  state.model->eval();
  state.normalizer = std::make_unique<PixelNormalizer>(state.device);

  const int64_t outputs = state.model->options().num_classes;
  state.classes = options.class_file.empty() ? model_classes(metadata_of(source.file, "classes"), outputs, source.path,
                                                             metadata_of(source.file, "class_names"))
                                             : read_class_file(fs, options.class_file, outputs);
  PredictorFacts& facts = state.facts;
  facts.model = model_name(state.model->options());
  facts.options = state.model->options();
  facts.weights = source.path;
  facts.run = source.run;
  facts.run_facts = source.facts;
  facts.accuracy = source.accuracy;
  facts.dataset_id = metadata_of(source.file, "dataset_id");
  facts.device = state.device.str();
}

Predictor::~Predictor() = default;

const PredictorFacts& Predictor::facts() const {
  return state_->facts;
}
const std::vector<ModelClass>& Predictor::classes() const {
  return state_->classes;
}
const ImageView& Predictor::view() const {
  return state_->view;
}
const RunConfig& Predictor::config() const {
  return state_->config;
}

PreparedImage Predictor::image(std::span<const std::byte> encoded, const std::string& name) const {
  return prepare_image(encoded, name, state_->view);
}

std::vector<std::vector<Guess>> Predictor::predict(std::span<const PreparedImage> images, int64_t k) const {
  if (images.empty()) return {};
  const auto count = static_cast<int64_t>(images.size()), side = static_cast<int64_t>(state_->view.size);
  torch::Tensor batch = torch::empty({count, side, side, 3}, torch::kUInt8);
  uint8_t* to = batch.mutable_data_ptr<uint8_t>();
  for (const PreparedImage& image : images) {
    if (image.size != state_->view.size || image.pixels.size() != static_cast<size_t>(side * side * 3))
      throw Error(ErrorKind::kInternal, "an image was prepared for another size than the model looks at");
    to = std::copy(image.pixels.begin(), image.pixels.end(), to);
  }
  const auto held = turn();
  return state_->guess(batch.to(state_->device), k);
}

std::unique_lock<std::mutex> Predictor::turn() const {
  return std::unique_lock(state_->turn);
}

std::shared_ptr<ResNetImpl> Predictor::network() const {
  return state_->model.ptr();
}

}  // namespace imgtrain
