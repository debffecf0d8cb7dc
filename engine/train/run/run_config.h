// RunConfig: everything that a training run can be told, typed. One table of its fields (run_config_fields.h) gives the
// flags, the JSON keys, the help, the schema and the printed list, so that none of them can disagree.
//
//   recipe  <  --config file.json  <  flags     --resolve-->  ResolvedConfig  -->  printed, stored, compared on resume
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "engine/data/batch_mix.h"
#include "engine/data/cache_policy.h"
#include "engine/model/portable/resnet_options.h"
#include "engine/train/run/duration.h"

namespace imgtrain {

enum class OptimizerKind { kSgd, kAdamW, kLamb };
enum class NoDecay { kNone, kNorms, kBiases, kNormsAndBiases, kNamedBn };
enum class LossKind { kCrossEntropy, kBinaryCrossEntropy };
enum class ClassReduction { kMean, kSum };
enum class ScheduleKind { kConstant, kOneCycle, kCosine, kLinear, kPoly, kStep };
enum class Anneal { kCosine, kLinear };
enum class LrHold { kStep, kEpoch };
enum class Interpolation { kBilinear, kBicubic, kRandom };
enum class DecoderChoice { kAuto, kReference };
enum class Progression { kDecode, kShrink };
enum class AverageKind { kNone, kTorchvision, kComposer };
enum class Precision { kFp64, kFp32, kBf16, kFp16 };
enum class DeviceKind { kAuto, kCpu, kCuda };
enum class GradExchange { kFull, kBf16 };

// Defaults are those of a plain run; a recipe says the rest.
struct RunConfig {
  // Data and where results go.
  std::string shards;
  std::string out;  // Resolved: never empty.
  std::string train_split = "train", val_split = "val";

  // Model.
  int64_t depth = 50;
  Stem stem = Stem::kPlain;
  bool average_downsample = false;
  BlurPool blurpool = BlurPool::kNone;
  double drop_path = 0;
  bool zero_init_last_gamma = false;
  WeightRule initial_weights = WeightRule::kTorchvision;
  std::string init;  // Empty: none.

  // Length, batch, order.
  Duration duration{90, Duration::Unit::kEpochs};
  int64_t batch = 256;   // Global.
  int64_t bn_group = 0;  // Resolved: never 0.
  bool sync_bn = false;
  bool drop_last = true;
  int64_t seed = 0;
  int64_t partitions = 48;
  int64_t block_kib = 4096;
  int64_t window_blocks = 2;

  // Optimizer.
  OptimizerKind optimizer = OptimizerKind::kSgd;
  double lr = 0.1;
  int64_t lr_per_batch = 0;  // 0: `lr` is used as it stands.
  double momentum = 0.9;
  bool nesterov = false;
  double weight_decay = 1e-4;
  bool decoupled_decay = false;
  NoDecay no_decay = NoDecay::kNone;
  double beta1 = 0.9, beta2 = 0.999;
  double eps = 0;  // Resolved: never 0 for an optimizer that has one.
  double lamb_grad_norm = 1;
  double clip_norm = 0;  // 0: gradients are not clipped.
  double sam_rho = 0;    // 0: off.
  int64_t sam_interval = 10;

  // Average of the weights over training.
  AverageKind ema = AverageKind::kNone;
  int64_t ema_every = 1;
  double ema_decay = 0.9999;
  int64_t ema_half_life = 1000;

  // Learning-rate schedule.
  ScheduleKind schedule = ScheduleKind::kCosine;
  Duration warmup{0, Duration::Unit::kEpochs};
  double warmup_start = 0;
  bool decay_from_start = false;
  double lr_final = 0;
  double poly_power = 2;
  std::vector<Duration> step_at;
  double step_factor = 0.1;
  LrHold lr_hold = LrHold::kStep;
  double onecycle_pct_start = 0.3;
  double onecycle_div = 25;
  double onecycle_final_div = 1e4;
  Anneal onecycle_anneal = Anneal::kCosine;
  bool onecycle_three_phase = false;
  bool onecycle_cycle_momentum = false;
  double onecycle_base_momentum = 0.85;
  double onecycle_max_momentum = 0.95;

  // Loss.
  LossKind loss = LossKind::kCrossEntropy;
  double label_smoothing = 0;
  double bce_threshold = 0;  // 0: targets are used as they are.
  ClassReduction bce_reduction = ClassReduction::kMean;

  // Image sizes and augmentation.
  int64_t train_size = 224;
  double crop_scale_min = 0.08, crop_scale_max = 1;
  double crop_ratio_min = 3.0 / 4.0, crop_ratio_max = 4.0 / 3.0;
  double flip = 0.5;
  int64_t repeats = 1;
  std::string auto_augment = "none";
  double jitter_brightness = 0, jitter_contrast = 0, jitter_saturation = 0, jitter_hue = 0;
  double erase = 0;
  double erase_scale_min = 0.02, erase_scale_max = 0.33;
  double erase_ratio_min = 0.3, erase_ratio_max = 3.3;
  double cutout = 0;
  double mixup = 0, cutmix = 0;
  double mix_probability = 1, cutmix_share = 0.5;
  data::MixStyle mix_style = data::MixStyle::kTimm;
  int64_t progressive_size = 0;  // 0: train_size from the first step on.
  double progressive_begin = 0, progressive_end = 1;
  int64_t progressive_multiple = 32;
  Progression progressive_by = Progression::kDecode;
  int64_t eval_size = 224;
  int64_t eval_resize = 256;
  double eval_crop_ratio = 0;  // 0: resize and crop.
  bool eval_flip = false;
  int64_t eval_batch = 256;
  Interpolation interpolation = Interpolation::kBilinear;
  DecoderChoice decoder = DecoderChoice::kAuto;

  // Numbers.
  Precision precision = Precision::kBf16;
  double loss_scale_init = 65536;
  int64_t loss_scale_growth_interval = 2000;
  GradExchange grad_exchange = GradExchange::kFull;

  // Evaluation, checkpoints, reports.
  Duration evaluate_every{1, Duration::Unit::kEpochs};
  Duration checkpoint_every{1, Duration::Unit::kEpochs};
  int64_t keep_checkpoints = 3;
  int64_t keep_every = 0;  // Epochs; 0: none beyond keep_checkpoints.
  bool keep_best = true;
  int64_t log_seconds = 10;
  bool step_times = false;
  std::string trace;  // Empty: none.
  bool tensorboard = false;
  std::string mlflow;  // URI of a tracking server; empty: none.
  std::string mlflow_experiment = "imgtrain";

  // This machine.
  DeviceKind device = DeviceKind::kAuto;
  bool fused = true;
  bool cuda_graphs = false;
  int64_t threads = 0;
  int64_t input_threads = 0;
  int64_t slots = 3;
  data::CacheMode page_cache = data::CacheMode::kAuto;
  std::string cache_dir;        // Empty: no local copy.
  int64_t rank_timeout = 300;   // Seconds.
  int64_t max_bad_records = 0;  // In an epoch and process; 0: the first one stops the run.

  bool operator==(const RunConfig&) const = default;

  // `lr` after the stated scaling rule.
  double peak_lr() const {
    return lr_per_batch == 0 ? lr : lr * static_cast<double>(batch) / static_cast<double>(lr_per_batch);
  }
};

// Settings from one place, as JSON values under field names. `origin` is what a message calls it: `recipe fast`,
// `my.json`, `the command line`.
struct ConfigLayer {
  std::string origin;
  boost::json::object values;
};

struct ResolvedConfig {
  RunConfig values;
  std::string recipe;                         // Empty: none.
  std::map<std::string, std::string> origin;  // Field name -> where its value is from; absent: the default.
};

// Later layers win. Throws Error(kUsage) that names field, origin, what was expected and what was found: an unknown key
// (with the nearest one), a wrong type, a value out of range, or two fields that contradict one another.
ResolvedConfig resolve(std::span<const ConfigLayer> layers, const std::string& recipe = {});

// Parses the text of a --config file: one JSON object of field names. Throws Error(kUsage).
ConfigLayer parse_config_file(const std::string& path, const std::string& text);

// Every field under its JSON key, in table order. resolve() of it gives the same configuration.
boost::json::object to_json(const RunConfig& config);

// Differences that make two runs two different experiments: `lr: 0.1 before, 0.2 now`. Fields that only concern the
// machine (threads, paths, how often to save) are not among them.
std::vector<std::string> differences(const RunConfig& before, const RunConfig& now);

// The resolved configuration for people: one line per field with its value and where it came from.
std::string describe(const ResolvedConfig& config);

// schemas/run_config.schema.json.
std::string run_config_schema();

}  // namespace imgtrain
