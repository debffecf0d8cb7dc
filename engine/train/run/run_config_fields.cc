#include "engine/train/run/run_config_fields.h"

#include <boost/json/array.hpp>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

#include "engine/train/run/json_text.h"
#include "format/error.h"
#include "format/nearest_name.h"

namespace imgtrain {
namespace {

namespace json = boost::json;
using imgpack::Error;
using imgpack::ErrorKind;

constexpr FieldRole kResult = FieldRole::kResult;
constexpr FieldRole kMachine = FieldRole::kMachine;
// Integers travel through JSON and doubles unharmed up to here.
constexpr int64_t kMaxInteger = int64_t{1} << 53;

[[noreturn]] void fail(const std::string& expected, const json::value& found) {
  throw Error(ErrorKind::kUsage, "expected " + expected + ", found " + compact_json(found));
}

double number_of(const json::value& value, const std::string& expected) {
  if (value.is_double()) return value.get_double();
  if (value.is_int64()) return static_cast<double>(value.get_int64());
  if (value.is_uint64()) return static_cast<double>(value.get_uint64());
  fail(expected, value);
}

std::string text_of(const json::value& value, const std::string& expected) {
  if (!value.is_string()) fail(expected, value);
  return std::string(value.get_string());
}

Duration duration_of(const json::value& value) {
  return parse_duration(text_of(value, "a text with its unit, as in \"16ep\" or \"500ba\""));
}

Field text(std::string_view name, FieldRole role, std::string RunConfig::*member, std::string_view help) {
  Field field{name, {}, help, role, FieldKind::kText, {}, 0, 0, {}, {}};
  field.set = [member](RunConfig& config, const json::value& value) { config.*member = text_of(value, "a text"); };
  field.get = [member](const RunConfig& config) { return json::value(config.*member); };
  return field;
}

Field flag(std::string_view name, FieldRole role, bool RunConfig::*member, std::string_view help) {
  Field field{name, {}, help, role, FieldKind::kBool, {}, 0, 0, {}, {}};
  field.set = [member](RunConfig& config, const json::value& value) {
    if (!value.is_bool()) fail("true or false", value);
    config.*member = value.get_bool();
  };
  field.get = [member](const RunConfig& config) { return json::value(config.*member); };
  return field;
}

Field integer(std::string_view name, FieldRole role, int64_t RunConfig::*member, int64_t minimum, int64_t maximum,
              std::string_view help) {
  Field field{name, {}, help, role, FieldKind::kInteger, {}, static_cast<double>(minimum), static_cast<double>(maximum),
              {},   {}};
  field.set = [=](RunConfig& config, const json::value& value) {
    const std::string expected = "a whole number from " + std::to_string(minimum) + " to " + std::to_string(maximum);
    const double number = number_of(value, expected);
    // Written so that NaN fails.
    if (!(number >= static_cast<double>(minimum) && number <= static_cast<double>(maximum)) ||
        number != std::floor(number))
      fail(expected, value);
    config.*member = value.is_int64() ? value.get_int64() : static_cast<int64_t>(number);
  };
  field.get = [member](const RunConfig& config) { return json::value(config.*member); };
  return field;
}

Field real(std::string_view name, FieldRole role, double RunConfig::*member, double minimum, double maximum,
           std::string_view help) {
  Field field{name, {}, help, role, FieldKind::kReal, {}, minimum, maximum, {}, {}};
  field.set = [=](RunConfig& config, const json::value& value) {
    const std::string expected = "a number from " + number_text(minimum) + " to " + number_text(maximum);
    const double number = number_of(value, expected);
    if (!(number >= minimum && number <= maximum)) fail(expected, value);
    config.*member = number;
  };
  field.get = [member](const RunConfig& config) { return json::value(config.*member); };
  return field;
}

Field duration(std::string_view name, FieldRole role, Duration RunConfig::*member, std::string_view help) {
  Field field{name, {}, help, role, FieldKind::kDuration, {}, 0, 0, {}, {}};
  field.set = [member](RunConfig& config, const json::value& value) { config.*member = duration_of(value); };
  field.get = [member](const RunConfig& config) { return json::value(to_text(config.*member)); };
  return field;
}

Field durations(std::string_view name, FieldRole role, std::vector<Duration> RunConfig::*member,
                std::string_view help) {
  Field field{name, {}, help, role, FieldKind::kDurations, {}, 0, 0, {}, {}};
  field.set = [member](RunConfig& config, const json::value& value) {
    if (!value.is_array()) fail("a list of durations, as in [\"30ep\", \"60ep\"]", value);
    std::vector<Duration> list;
    for (const json::value& element : value.get_array()) list.push_back(duration_of(element));
    config.*member = std::move(list);
  };
  field.get = [member](const RunConfig& config) {
    json::array list;
    for (const Duration& element : config.*member) list.push_back(json::value(to_text(element)));
    return json::value(std::move(list));
  };
  return field;
}

// `stop` or `skip:N`.
Field bad_records(std::string_view name, FieldRole role, int64_t RunConfig::*member, std::string_view help) {
  constexpr int64_t kMost = 1'000'000;
  Field field{name, {}, help, role, FieldKind::kText, {}, 0, 0, {}, {}};
  field.set = [member](RunConfig& config, const json::value& value) {
    const std::string expected = "\"stop\", or \"skip:N\" with N from 1 to " + std::to_string(kMost);
    const std::string given = text_of(value, expected);
    if (given == "stop") {
      config.*member = 0;
      return;
    }
    constexpr std::string_view kSkip = "skip:";
    int64_t count = 0;
    if (!given.starts_with(kSkip)) fail(expected, value);
    const char* end = given.data() + given.size();
    const auto [rest, error] = std::from_chars(given.data() + kSkip.size(), end, count);
    if (error != std::errc() || rest != end || count < 1 || count > kMost) fail(expected, value);
    config.*member = count;
  };
  field.get = [member](const RunConfig& config) {
    const int64_t count = config.*member;
    return json::value(count == 0 ? std::string("stop") : "skip:" + std::to_string(count));
  };
  return field;
}

template <typename T>
using NamedValues = std::vector<std::pair<std::string_view, T>>;

template <typename T>
Field choice(std::string_view name, FieldRole role, T RunConfig::*member, NamedValues<T> values,
             std::string_view help) {
  Field field{name, {}, help, role, FieldKind::kChoice, {}, 0, 0, {}, {}};
  std::vector<std::string> names;
  std::string expected = "one of";
  for (const auto& [value_name, value] : values) {
    field.choices.push_back(value_name);
    names.emplace_back(value_name);
    expected += (names.size() == 1 ? " " : ", ") + names.back();
  }
  field.set = [=](RunConfig& config, const json::value& given) {
    const std::string wanted = text_of(given, expected);
    for (const auto& [value_name, value] : values) {
      if (value_name == wanted) {
        config.*member = value;
        return;
      }
    }
    throw Error(ErrorKind::kUsage,
                "expected " + expected + ", found '" + wanted + "'" + imgpack::did_you_mean(wanted, names));
  };
  field.get = [=](const RunConfig& config) {
    for (const auto& [value_name, value] : values)
      if (value == config.*member) return json::value(value_name);
    throw Error(ErrorKind::kInternal, "a configuration holds a choice without a name");
  };
  return field;
}

using C = RunConfig;

std::vector<Field> data_fields() {
  return {
      text("shards", kMachine, &C::shards,
           "Dataset folder that imgpack built, or the s3:// or https:// URL of one (its identity is compared, not its "
           "path)"),
      text("out", kMachine, &C::out, "Run folder; default runs/RECIPE. The same command again resumes what is there"),
      text("train_split", kResult, &C::train_split, "Split to train on"),
      text("val_split", kResult, &C::val_split, "Split to evaluate on"),
  };
}

std::vector<Field> model_fields() {
  return {
      choice<int64_t>("model", kResult, &C::depth,
                      {{"resnet18", 18}, {"resnet34", 34}, {"resnet50", 50}, {"resnet101", 101}, {"resnet152", 152}},
                      "Network"),
      choice<Stem>("stem", kResult, &C::stem, {{"plain", Stem::kPlain}, {"deep", Stem::kDeep}},
                   "First layers: one 7x7 convolution, or the three 3x3 ones of ResNet-D (timm's names)"),
      flag("average_downsample", kResult, &C::average_downsample,
           "Average before the shortcut's convolution instead of leaving out pixels (ResNet-D, timm's names)"),
      choice<BlurPool>("blurpool", kResult, &C::blurpool,
                       {{"none", BlurPool::kNone}, {"ffcv", BlurPool::kConvolutions}, {"composer", BlurPool::kAll}},
                       "Blur before strided convolutions but the first (ffcv), and in the max-pooling too (composer)"),
      real("drop_path", kResult, &C::drop_path, 0, 0.99,
           "Stochastic depth: probability that the last block drops its branch of an image, rising linearly from 0 at "
           "the first block (timm)"),
      flag("zero_init_last_gamma", kResult, &C::zero_init_last_gamma,
           "Start the last batch norm of every block at zero, so that blocks begin as identities"),
      choice<WeightRule>("initial_weights", kResult, &C::initial_weights,
                         {{"torchvision", WeightRule::kTorchvision}, {"composer", WeightRule::kComposer}},
                         "Random weights to begin with: torchvision's, or those of Composer's ResNet recipes"),
      text("init", kResult, &C::init,
           "Begin with the weights of this .safetensors file (torchvision's names); a classifier of another number of "
           "classes is begun anew"),
  };
}

std::vector<Field> length_fields() {
  return {
      duration("duration", kResult, &C::duration, "Length of training, in epochs (16ep, 28.8ep) or batches (500ba)"),
      integer("batch", kResult, &C::batch, 1, 1 << 20, "Images per optimizer step, all devices together"),
      integer("bn_group", kResult, &C::bn_group, 0, 1 << 20,
              "Consecutive images of a batch whose batch-norm statistics are taken together, whatever the devices; "
              "0: the whole batch, at most 256"),
      flag("sync_bn", kResult, &C::sync_bn,
           "Take batch-norm statistics over the whole batch of all ranks, with an exchange in every layer; bn_group is "
           "then the batch"),
      flag("drop_last", kResult, &C::drop_last, "Leave out the last batch of an epoch where it is not full"),
      integer("seed", kResult, &C::seed, 0, kMaxInteger, "Seed of initial weights, sample order and augmentation"),
      integer("partitions", kResult, &C::partitions, 1, 4096,
              "Parts of the record order that every batch takes from equally; small sets use fewer"),
      integer("block_kib", kResult, &C::block_kib, 64, 1 << 20, "KiB of shard that are read at once"),
      integer("window_blocks", kResult, &C::window_blocks, 1, 1024,
              "Blocks of a partition within which samples are mixed"),
  };
}

std::vector<Field> optimizer_fields() {
  return {
      choice<OptimizerKind>(
          "optimizer", kResult, &C::optimizer,
          {{"sgd", OptimizerKind::kSgd}, {"adamw", OptimizerKind::kAdamW}, {"lamb", OptimizerKind::kLamb}},
          "SGD with momentum, AdamW, or LAMB as timm has it"),
      real("lr", kResult, &C::lr, 0, 1e6, "Highest learning rate of the schedule"),
      integer("lr_per_batch", kResult, &C::lr_per_batch, 0, 1 << 20,
              "Global batch that lr is meant for: lr is multiplied by batch / lr_per_batch, and the result printed; "
              "0: lr is used as it stands"),
      real("momentum", kResult, &C::momentum, 0, 0.99999, "Momentum of sgd"),
      flag("nesterov", kResult, &C::nesterov, "Nesterov's momentum"),
      real("weight_decay", kResult, &C::weight_decay, 0, 10,
           "Weight decay: of sgd added to the gradient, of adamw taken from the weights at the learning rate, of lamb "
           "part of the update"),
      flag("decoupled_decay", kResult, &C::decoupled_decay,
           "Multiply weights by 1 - weight_decay x (learning rate / lr) instead, for sgd and adamw (Composer's "
           "DecoupledSGDW and DecoupledAdamW)"),
      choice<NoDecay>(
          "no_decay", kResult, &C::no_decay,
          {{"none", NoDecay::kNone},
           {"norms", NoDecay::kNorms},
           {"biases", NoDecay::kBiases},
           {"norms-and-biases", NoDecay::kNormsAndBiases},
           {"named-bn", NoDecay::kNamedBn}},
          "Parameters without weight decay: none; batch norms (torchvision's --norm-weight-decay 0); all "
          "biases (its --bias-weight-decay 0); norms and biases (timm); those with `bn` in their name (FFCV: "
          "down-sampling norms do decay)"),
      real("beta1", kResult, &C::beta1, 0, 0.99999, "Decay of the first moment of adamw and lamb"),
      real("beta2", kResult, &C::beta2, 0, 0.9999999, "Decay of the second moment of adamw and lamb"),
      real("eps", kResult, &C::eps, 0, 1,
           "Added to the denominator of adamw and lamb; 0: 1e-8 for adamw, 1e-6 for lamb"),
      real("lamb_grad_norm", kResult, &C::lamb_grad_norm, 0, 1e9,
           "Norm that lamb scales larger gradients down to; 0: none"),
      real("clip_norm", kResult, &C::clip_norm, 0, 1e9,
           "Clip the norm of all gradients together to this (torch's clip_grad_norm_); 0: do not"),
      real("sam_rho", kResult, &C::sam_rho, 0, 100,
           "Sharpness-aware minimisation: how far the weights climb before the gradient is taken; 0: off"),
      integer("sam_interval", kResult, &C::sam_interval, 1, 1 << 20, "Do so at every so many steps (Composer)"),
  };
}

std::vector<Field> average_fields() {
  return {
      choice<AverageKind>("ema", kResult, &C::ema,
                          {{"none", AverageKind::kNone},
                           {"torchvision", AverageKind::kTorchvision},
                           {"composer", AverageKind::kComposer}},
                          "Keep a moving average of weights and batch-norm statistics, evaluate it and save it as the "
                          "result; by the rule of torchvision's references or of Composer"),
      integer("ema_every", kResult, &C::ema_every, 1, 1 << 20, "Batches between two updates of the average"),
      real("ema_decay", kResult, &C::ema_decay, 0, 1,
           "torchvision's decay, before its adjustment: 1 - (1 - ema_decay) x batch x ema_every / epochs is used"),
      integer("ema_half_life", kResult, &C::ema_half_life, 1, 1 << 30,
              "Composer's half-life in batches: 2^-(ema_every / ema_half_life) is the decay"),
  };
}

std::vector<Field> schedule_fields() {
  return {
      choice<ScheduleKind>("schedule", kResult, &C::schedule,
                           {{"constant", ScheduleKind::kConstant},
                            {"onecycle", ScheduleKind::kOneCycle},
                            {"cosine", ScheduleKind::kCosine},
                            {"linear", ScheduleKind::kLinear},
                            {"poly", ScheduleKind::kPoly},
                            {"step", ScheduleKind::kStep}},
                           "How the learning rate goes with the samples seen; all but onecycle begin with the warm-up"),
      duration("warmup", kResult, &C::warmup, "Length of the linear warm-up"),
      real("warmup_start", kResult, &C::warmup_start, 0, 1,
           "Learning rate at the start of the warm-up, as a share of lr"),
      flag("decay_from_start", kResult, &C::decay_from_start,
           "Count cosine, linear and poly decay from the start of training, the warm-up only covering it (timm)"),
      real("lr_final", kResult, &C::lr_final, 0, 1,
           "Learning rate at the end of cosine, linear and poly, as a share of lr"),
      real("poly_power", kResult, &C::poly_power, 0.1, 10, "Exponent of poly"),
      durations("step_at", kResult, &C::step_at,
                "Where step multiplies the learning rate by step_factor: 30ep,60ep,80ep"),
      real("step_factor", kResult, &C::step_factor, 0, 1, "Factor of step"),
      choice<LrHold>("lr_hold", kResult, &C::lr_hold, {{"step", LrHold::kStep}, {"epoch", LrHold::kEpoch}},
                     "Change the learning rate at every step, or hold it for an epoch (torchvision, timm)"),
      real("onecycle_pct_start", kResult, &C::onecycle_pct_start, 0, 1, "Share of training in which onecycle rises"),
      real("onecycle_div", kResult, &C::onecycle_div, 1, 1e12, "Onecycle starts at lr divided by this"),
      real("onecycle_final_div", kResult, &C::onecycle_final_div, 1, 1e12,
           "Onecycle ends at its start divided by this"),
      choice<Anneal>("onecycle_anneal", kResult, &C::onecycle_anneal,
                     {{"cos", Anneal::kCosine}, {"linear", Anneal::kLinear}}, "Shape of onecycle's phases"),
      flag("onecycle_three_phase", kResult, &C::onecycle_three_phase,
           "Onecycle falls back to its start symmetrically before the last phase"),
      flag("onecycle_cycle_momentum", kResult, &C::onecycle_cycle_momentum,
           "Onecycle moves the momentum against the learning rate; otherwise momentum stays"),
      real("onecycle_base_momentum", kResult, &C::onecycle_base_momentum, 0, 0.99999, "Momentum where lr is highest"),
      real("onecycle_max_momentum", kResult, &C::onecycle_max_momentum, 0, 0.99999, "Momentum where lr is lowest"),
  };
}

std::vector<Field> loss_fields() {
  return {
      choice<LossKind>("loss", kResult, &C::loss,
                       {{"cross-entropy", LossKind::kCrossEntropy}, {"bce", LossKind::kBinaryCrossEntropy}},
                       "Cross-entropy, or binary cross-entropy of every class"),
      real("label_smoothing", kResult, &C::label_smoothing, 0, 0.99999, "Share of the target spread over all classes"),
      real("bce_threshold", kResult, &C::bce_threshold, 0, 0.99999,
           "Make targets of bce above this 1 and the others 0 (timm's --bce-target-thresh); 0: leave them"),
      choice<ClassReduction>("bce_reduction", kResult, &C::bce_reduction,
                             {{"mean", ClassReduction::kMean}, {"sum", ClassReduction::kSum}},
                             "Take the mean over classes (timm) or their sum (Composer)"),
  };
}

std::vector<Field> augmentation_fields() {
  return {
      integer("train_size", kResult, &C::train_size, 16, 1024, "Pixels per side in training"),
      real("crop_scale_min", kResult, &C::crop_scale_min, 0.0001, 1,
           "Smallest share of an image's area in a random crop"),
      real("crop_scale_max", kResult, &C::crop_scale_max, 0.0001, 1, "Largest share"),
      real("crop_ratio_min", kResult, &C::crop_ratio_min, 0.01, 100, "Smallest width over height of a random crop"),
      real("crop_ratio_max", kResult, &C::crop_ratio_max, 0.01, 100, "Largest"),
      real("flip", kResult, &C::flip, 0, 1, "Probability of a horizontal flip"),
      integer(
          "repeats", kResult, &C::repeats, 1, 64,
          "Repeated augmentation: how often an image occurs in a batch, each time augmented anew; an epoch keeps its "
          "length and sees fewer images"),
      text("auto_augment", kResult, &C::auto_augment,
           "Policy of operations on colour and shape: none, autoaugment, randaugment[-m9][-n2], trivialaugment "
           "(torchvision), or timm's rand-m9[-n2][-p0.5][-mstd0.5][-inc1]"),
      real("jitter_brightness", kResult, &C::jitter_brightness, 0, 10, "Colour jitter: strength of brightness"),
      real("jitter_contrast", kResult, &C::jitter_contrast, 0, 10, "Of contrast"),
      real("jitter_saturation", kResult, &C::jitter_saturation, 0, 10, "Of saturation"),
      real("jitter_hue", kResult, &C::jitter_hue, 0, 0.5, "Of hue, as a share of the colour circle"),
      real("erase", kResult, &C::erase, 0, 1, "Random erasing: probability that a rectangle is blanked"),
      real("erase_scale_min", kResult, &C::erase_scale_min, 0, 1, "Its smallest share of the area"),
      real("erase_scale_max", kResult, &C::erase_scale_max, 0, 1, "Largest"),
      real("erase_ratio_min", kResult, &C::erase_ratio_min, 0.01, 100, "Its smallest height over width"),
      real("erase_ratio_max", kResult, &C::erase_ratio_max, 0.01, 100, "Largest"),
      real("cutout", kResult, &C::cutout, 0, 1, "Side of a square that is blanked, as a share of the image's; 0: none"),
      real("mixup", kResult, &C::mixup, 0, 100, "Mixup: alpha of the distribution of shares; 0: off"),
      real("cutmix", kResult, &C::cutmix, 0, 100, "CutMix: alpha of the distribution of shares; 0: off"),
      real("mix_probability", kResult, &C::mix_probability, 0, 1, "Probability that a group of images is mixed"),
      real("cutmix_share", kResult, &C::cutmix_share, 0, 1, "Share of CutMix where both are on"),
      choice<data::MixStyle>("mix_style", kResult, &C::mix_style,
                             {{"timm", data::MixStyle::kTimm},
                              {"torchvision", data::MixStyle::kTorchvision},
                              {"composer", data::MixStyle::kComposer}},
                             "Partners within a bn_group: the group backwards, the image before, or at random with the "
                             "larger share of mixup for the image itself"),
      integer("progressive_size", kResult, &C::progressive_size, 0, 1024,
              "Pixels per side at the start of training, growing to train_size; 0: train_size throughout"),
      real("progressive_begin", kResult, &C::progressive_begin, 0, 1, "Share of training after which images grow"),
      real("progressive_end", kResult, &C::progressive_end, 0, 1, "Share of training after which they are full-grown"),
      integer("progressive_multiple", kResult, &C::progressive_multiple, 1, 256,
              "Sizes in between are multiples of this"),
      choice<Progression>(
          "progressive_by", kResult, &C::progressive_by,
          {{"decode", Progression::kDecode}, {"shrink", Progression::kShrink}},
          "Decode at the size of the epoch (FFCV; the fast way), or decode at train_size and shrink every "
          "batch, by nearest neighbours (Composer)"),
      integer("eval_size", kResult, &C::eval_size, 16, 1024, "Pixels per side of the centre crop in evaluation"),
      integer("eval_resize", kResult, &C::eval_resize, 16, 2048,
              "Short side that images are resized to before that crop"),
      real("eval_crop_ratio", kResult, &C::eval_crop_ratio, 0, 1,
           "Instead: cut out the middle square of this share of the short side, then resize it to eval_size (FFCV: "
           "0.875); 0: resize, then crop"),
      flag("eval_flip", kResult, &C::eval_flip, "Average the logits of an image and its mirror image in evaluation"),
      integer("eval_batch", kMachine, &C::eval_batch, 1, 1 << 20, "Images per batch in evaluation"),
      choice<Interpolation>("interpolation", kResult, &C::interpolation,
                            {{"bilinear", Interpolation::kBilinear},
                             {"bicubic", Interpolation::kBicubic},
                             {"random", Interpolation::kRandom}},
                            "Filter of every resize, always antialiased, and of auto_augment's shapes; random: either "
                            "of the two for each training image (timm), bicubic in evaluation"),
      choice<DecoderChoice>(
          "decoder", kResult, &C::decoder, {{"auto", DecoderChoice::kAuto}, {"reference", DecoderChoice::kReference}},
          "auto: the fast decoder where a record has an entropy index, else libjpeg-turbo; reference: "
          "libjpeg-turbo for all, at two fifths of the speed"),
  };
}

std::vector<Field> number_fields() {
  return {
      choice<Precision>("precision", kResult, &C::precision,
                        {{"fp64", Precision::kFp64},
                         {"fp32", Precision::kFp32},
                         {"bf16", Precision::kBf16},
                         {"fp16", Precision::kFp16}},
                        "Arithmetic of forward and backward; weights are kept in fp32. fp16 needs a CUDA device; fp64, "
                        "weights included, is for comparing implementations"),
      real("loss_scale_init", kResult, &C::loss_scale_init, 1, 1e30, "First scale of fp16's gradient scaler"),
      integer("loss_scale_growth_interval", kResult, &C::loss_scale_growth_interval, 1, 1 << 30,
              "Steps without overflow after which the scale doubles"),
      choice<GradExchange>("grad_exchange", kResult, &C::grad_exchange,
                           {{"full", GradExchange::kFull}, {"bf16", GradExchange::kBf16}},
                           "How gradients travel between ranks: as they are, or rounded to bf16, which halves the "
                           "bytes; one process sends none"),
  };
}

std::vector<Field> report_fields() {
  return {
      duration("evaluate_every", kResult, &C::evaluate_every, "Evaluate after so many whole epochs; always at the end"),
      duration("checkpoint_every", kMachine, &C::checkpoint_every,
               "Save after so much training; always at the end of an epoch too"),
      integer("keep_checkpoints", kMachine, &C::keep_checkpoints, 2, 10000,
              "How many of the latest checkpoints stay; two at least, so that a damaged one costs one interval"),
      integer("keep_every", kMachine, &C::keep_every, 0, 1 << 20,
              "Also keep the checkpoint at the end of every so many epochs, for good; 0: none"),
      flag("keep_best", kMachine, &C::keep_best,
           "Also keep the checkpoint that did best in evaluation (checkpoints/best names it)"),
      integer("log_seconds", kMachine, &C::log_seconds, 1, 86400,
              "Seconds between progress lines where stderr is not a terminal"),
      flag("step_times", kMachine, &C::step_times,
           "Write the time of every stage of every step to step_times.csv in the run folder"),
      text("trace", kMachine, &C::trace,
           "Write what the fifth step of rank 0 does, and when, to this file as a Chrome trace (ui.perfetto.dev shows "
           "it): operators, kernels, exchanges of gradients; empty: none"),
      flag("tensorboard", kMachine, &C::tensorboard, "Write TensorBoard event files to tensorboard/ in the run folder"),
      text("mlflow", kMachine, &C::mlflow, "Send curves to this MLflow tracking server (http://HOST:PORT)"),
      text("mlflow_experiment", kMachine, &C::mlflow_experiment, "MLflow experiment that the run belongs to"),
  };
}

std::vector<Field> machine_fields() {
  return {
      choice<DeviceKind>("device", kMachine, &C::device,
                         {{"auto", DeviceKind::kAuto}, {"cpu", DeviceKind::kCpu}, {"cuda", DeviceKind::kCuda}},
                         "Where to train; auto takes CUDA where there is a device"),
      flag("fused", kMachine, &C::fused,
           "On CUDA, let kernels of this program's own do batch norm, addition and ReLU in one operation, and make a "
           "batch of bytes the network's input in one; false: libtorch's separate operations. Results differ in "
           "rounding"),
      flag(
          "cuda_graphs", kMachine, &C::cuda_graphs,
          "On CUDA, record whole steps as CUDA graphs and replay them, each after it was tried beside the step itself; "
          "where that cannot be, a warning says why and steps are queued as ever"),
      integer("threads", kMachine, &C::threads, 0, 4096,
              "Compute threads on the CPU; 0: all cores this process may use"),
      integer(
          "input_threads", kMachine, &C::input_threads, 0, 4096,
          "Threads that decode; 0: all cores this process may use beside a CUDA device, an eighth of them where the "
          "CPU trains, since decoders that take a core away for a moment hold up all compute threads. Has no say in "
          "any result"),
      integer("slots", kMachine, &C::slots, 2, 64, "Batches that the input side may hold ready"),
      choice<data::CacheMode>("page_cache", kMachine, &C::page_cache,
                              {{"auto", data::CacheMode::kAuto},
                               {"keep", data::CacheMode::kKeep},
                               {"drop", data::CacheMode::kDrop},
                               {"direct", data::CacheMode::kDirect}},
                              "What the kernel keeps of shards that were read: auto is keep where they fit into three "
                              "quarters of the available memory, else direct (O_DIRECT)"),
      text(
          "cache_dir", kMachine, &C::cache_dir,
          "Folder on a faster local disk that shards are copied to while they are first read, as far as there is room; "
          "for a URL, the folder of its cache; empty: none"),
      integer(
          "rank_timeout", kMachine, &C::rank_timeout, 1, 86400,
          "Seconds that a rank may spend in one stage (reading, decoding, compute, communication, saving) before it "
          "is named and the run ends; one whose process is silent for 15 s, or for this if it is less, is lost. Ranks "
          "that do not come to the start are named after it too"),
      bad_records("on_bad_record", kMachine, &C::max_bad_records,
                  "What a damaged record does: stop the run, or skip:N to leave out up to N of them in an epoch and "
                  "process, named and counted. None is ever replaced by another"),
  };
}

std::vector<Field> all_fields() {
  const std::pair<std::string_view, std::vector<Field>> groups[] = {
      {"Data", data_fields()},
      {"Model", model_fields()},
      {"Length and order", length_fields()},
      {"Optimizer", optimizer_fields()},
      {"Learning-rate schedule", schedule_fields()},
      {"Average of weights", average_fields()},
      {"Loss", loss_fields()},
      {"Sizes and augmentation", augmentation_fields()},
      {"Arithmetic", number_fields()},
      {"Evaluation, checkpoints, reports", report_fields()},
      {"This machine", machine_fields()},
  };
  std::vector<Field> fields;
  for (const auto& [heading, members] : groups) {
    for (Field field : members) {
      field.group = heading;
      fields.push_back(std::move(field));
    }
  }
  return fields;
}

}  // namespace

const std::vector<Field>& run_config_fields() {
  static const std::vector<Field> fields = all_fields();
  return fields;
}

const Field* find_field(std::string_view name) {
  std::string key(name);
  for (char& c : key) c = c == '-' ? '_' : c;
  for (const Field& field : run_config_fields())
    if (field.name == key) return &field;
  return nullptr;
}

std::vector<std::string> field_names() {
  std::vector<std::string> names;
  for (const Field& field : run_config_fields()) names.emplace_back(field.name);
  return names;
}

std::string flag_of(const Field& field) {
  std::string name = "--" + std::string(field.name);
  for (char& c : name) c = c == '_' ? '-' : c;
  return name;
}

json::value value_from_text(const Field& field, std::string_view text) {
  const std::string given(text);
  switch (field.kind) {
    case FieldKind::kText:
    case FieldKind::kChoice:
    case FieldKind::kDuration:
      return json::value(given);
    case FieldKind::kBool:
      if (given == "true" || given == "false") return json::value(given == "true");
      throw Error(ErrorKind::kUsage, "expected true or false, found '" + given + "'");
    case FieldKind::kDurations: {
      json::array list;
      for (size_t begin = 0; begin < given.size();) {
        const size_t end = std::min(given.find(',', begin), given.size());
        list.push_back(json::value(given.substr(begin, end - begin)));
        begin = end + 1;
      }
      return list;
    }
    case FieldKind::kInteger:
    case FieldKind::kReal: {
      const char* end = given.data() + given.size();
      int64_t whole = 0;
      if (const auto [rest, error] = std::from_chars(given.data(), end, whole); error == std::errc() && rest == end)
        return json::value(whole);
      double number = 0;
      if (const auto [rest, error] = std::from_chars(given.data(), end, number);
          error == std::errc() && rest == end && std::isfinite(number))
        return json::value(number);
      throw Error(ErrorKind::kUsage, "expected a number, found '" + given + "'");
    }
  }
  throw Error(ErrorKind::kInternal, "a field of an unknown kind");
}

}  // namespace imgtrain
