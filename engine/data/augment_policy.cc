#include "engine/data/augment_policy.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numbers>
#include <utility>

#include "format/error.h"

namespace imgtrain::data {
namespace {

using imgpack::Error;
using imgpack::ErrorKind;
using Draw = std::function<double()>;

// timm's levels go from 0 to this.
constexpr double kLevels = 10;
// Magnitudes of torchvision's RandAugment and TrivialAugmentWide; AutoAugment has ten.
constexpr int kBins = 31, kAutoAugmentBins = 10;

int index_below(int bound, const Draw& uniform) {
  return std::min(bound - 1, static_cast<int>(std::floor(uniform() * bound)));
}

// --- torchvision
// ------------------------------------------------------------------------------------------------------

// One value of torch.linspace in single precision, which counts from the nearer end.
double linspace(double start, double end, int count, int index) {
  const auto first = static_cast<float>(start), last = static_cast<float>(end);
  const float step = (last - first) / static_cast<float>(count - 1);
  if (index < count / 2) return first + step * static_cast<float>(index);
  return last - step * static_cast<float>(count - index - 1);
}

// 8 bits less what the magnitude takes away, at most `most`.
double posterize_bits(int bins, int index, double most) {
  const auto divisor = static_cast<float>((bins - 1) / most);
  return 8 - std::nearbyint(static_cast<float>(index) / divisor);
}

struct Ranges {
  double shear, translate_x, translate_y, rotate, factor, posterize;
};

bool has_sign(PixelOp op) {
  return op >= PixelOp::kShearX && op <= PixelOp::kSharpness;
}

bool has_magnitude(PixelOp op) {
  return has_sign(op) || op == PixelOp::kPosterize || op == PixelOp::kSolarize;
}

double magnitude_of(PixelOp op, const Ranges& ranges, int bins, int index) {
  const auto up_to = [&](double end) { return linspace(0, end, bins, index); };
  switch (op) {
    case PixelOp::kShearX:
    case PixelOp::kShearY:
      return up_to(ranges.shear);
    case PixelOp::kTranslateX:
      return up_to(ranges.translate_x);
    case PixelOp::kTranslateY:
      return up_to(ranges.translate_y);
    case PixelOp::kRotate:
      return up_to(ranges.rotate);
    case PixelOp::kBrightness:
    case PixelOp::kColour:
    case PixelOp::kContrast:
    case PixelOp::kSharpness:
      return up_to(ranges.factor);
    case PixelOp::kPosterize:
      return posterize_bits(bins, index, ranges.posterize);
    case PixelOp::kSolarize:
      return linspace(255, 0, bins, index);
    default:
      return 0;
  }
}

// From a signed magnitude to what the operation takes.
PolicyStep torchvision_step(PixelOp op, double magnitude) {
  switch (op) {
    case PixelOp::kShearX:
    case PixelOp::kShearY: {
      // The way over degrees, as torchvision goes it.
      const double degrees = std::atan(magnitude) * (180.0 / std::numbers::pi);
      return {op, std::tan(degrees * (std::numbers::pi / 180.0))};
    }
    case PixelOp::kTranslateX:
    case PixelOp::kTranslateY:
      return {op, -std::trunc(magnitude)};
    case PixelOp::kBrightness:
    case PixelOp::kColour:
    case PixelOp::kContrast:
    case PixelOp::kSharpness:
      return {op, 1.0 + magnitude};
    default:
      return {op, magnitude};
  }
}

constexpr PixelOp kTorchvisionOps[] = {
    PixelOp::kIdentity,  PixelOp::kShearX,     PixelOp::kShearY,       PixelOp::kTranslateX, PixelOp::kTranslateY,
    PixelOp::kRotate,    PixelOp::kBrightness, PixelOp::kColour,       PixelOp::kContrast,   PixelOp::kSharpness,
    PixelOp::kPosterize, PixelOp::kSolarize,   PixelOp::kAutoContrast, PixelOp::kEqualize,
};

Ranges rand_augment_ranges(int width, int height) {
  return {0.3, 150.0 / 331.0 * width, 150.0 / 331.0 * height, 30, 0.9, 4};
}
constexpr Ranges kTrivialRanges = {0.99, 32, 32, 135, 0.99, 6};

PolicyStep draw_torchvision(const Ranges& ranges, int fixed_index, const Draw& uniform) {
  const PixelOp op = kTorchvisionOps[index_below(std::size(kTorchvisionOps), uniform)];
  double magnitude = 0;
  if (has_magnitude(op)) {
    const int index = fixed_index >= 0 ? fixed_index : index_below(kBins, uniform);
    magnitude = magnitude_of(op, ranges, kBins, index);
  }
  if (has_sign(op) && index_below(2, uniform) == 1) magnitude = -magnitude;
  return torchvision_step(op, magnitude);
}

struct SubPolicy {
  PixelOp op;
  double probability;
  int index;
};

// "AutoAugment: learning augmentation strategies from data", the ImageNet policy.
constexpr SubPolicy kAutoAugment[25][2] = {
    {{PixelOp::kPosterize, 0.4, 8}, {PixelOp::kRotate, 0.6, 9}},
    {{PixelOp::kSolarize, 0.6, 5}, {PixelOp::kAutoContrast, 0.6, 0}},
    {{PixelOp::kEqualize, 0.8, 0}, {PixelOp::kEqualize, 0.6, 0}},
    {{PixelOp::kPosterize, 0.6, 7}, {PixelOp::kPosterize, 0.6, 6}},
    {{PixelOp::kEqualize, 0.4, 0}, {PixelOp::kSolarize, 0.2, 4}},
    {{PixelOp::kEqualize, 0.4, 0}, {PixelOp::kRotate, 0.8, 8}},
    {{PixelOp::kSolarize, 0.6, 3}, {PixelOp::kEqualize, 0.6, 0}},
    {{PixelOp::kPosterize, 0.8, 5}, {PixelOp::kEqualize, 1.0, 0}},
    {{PixelOp::kRotate, 0.2, 3}, {PixelOp::kSolarize, 0.6, 8}},
    {{PixelOp::kEqualize, 0.6, 0}, {PixelOp::kPosterize, 0.4, 6}},
    {{PixelOp::kRotate, 0.8, 8}, {PixelOp::kColour, 0.4, 0}},
    {{PixelOp::kRotate, 0.4, 9}, {PixelOp::kEqualize, 0.6, 0}},
    {{PixelOp::kEqualize, 0.0, 0}, {PixelOp::kEqualize, 0.8, 0}},
    {{PixelOp::kInvert, 0.6, 0}, {PixelOp::kEqualize, 1.0, 0}},
    {{PixelOp::kColour, 0.6, 4}, {PixelOp::kContrast, 1.0, 8}},
    {{PixelOp::kRotate, 0.8, 8}, {PixelOp::kColour, 1.0, 2}},
    {{PixelOp::kColour, 0.8, 8}, {PixelOp::kSolarize, 0.8, 7}},
    {{PixelOp::kSharpness, 0.4, 7}, {PixelOp::kInvert, 0.6, 0}},
    {{PixelOp::kShearX, 0.6, 5}, {PixelOp::kEqualize, 1.0, 0}},
    {{PixelOp::kColour, 0.4, 0}, {PixelOp::kEqualize, 0.6, 0}},
    {{PixelOp::kEqualize, 0.4, 0}, {PixelOp::kSolarize, 0.2, 4}},
    {{PixelOp::kSolarize, 0.6, 5}, {PixelOp::kAutoContrast, 0.6, 0}},
    {{PixelOp::kInvert, 0.6, 0}, {PixelOp::kEqualize, 1.0, 0}},
    {{PixelOp::kColour, 0.6, 4}, {PixelOp::kContrast, 1.0, 8}},
    {{PixelOp::kEqualize, 0.8, 0}, {PixelOp::kEqualize, 0.6, 0}},
};

std::vector<PolicyStep> draw_auto_augment(const Ranges& ranges, const Draw& uniform) {
  const auto& chosen = kAutoAugment[index_below(std::size(kAutoAugment), uniform)];
  const double probabilities[2] = {uniform(), uniform()};
  const int signs[2] = {index_below(2, uniform), index_below(2, uniform)};
  std::vector<PolicyStep> steps;
  for (int i = 0; i < 2; ++i) {
    if (probabilities[i] > chosen[i].probability) continue;
    double magnitude = magnitude_of(chosen[i].op, ranges, kAutoAugmentBins, chosen[i].index);
    if (has_sign(chosen[i].op) && signs[i] == 0) magnitude = -magnitude;
    steps.push_back(torchvision_step(chosen[i].op, magnitude));
  }
  return steps;
}

// --- timm
// -------------------------------------------------------------------------------------------------------------

constexpr PixelOp kTimmOps[] = {
    PixelOp::kAutoContrast, PixelOp::kEqualize,    PixelOp::kInvert, PixelOp::kRotate,     PixelOp::kPosterize,
    PixelOp::kSolarize,     PixelOp::kSolarizeAdd, PixelOp::kColour, PixelOp::kContrast,   PixelOp::kBrightness,
    PixelOp::kSharpness,    PixelOp::kShearX,      PixelOp::kShearY, PixelOp::kTranslateX, PixelOp::kTranslateY,
};

PolicyStep timm_step(PixelOp op, double level, bool increasing, int width, int height, const Draw& uniform) {
  const double share = level / kLevels;
  const auto either_sign = [&](double v) { return uniform() > 0.5 ? -v : v; };
  switch (op) {
    case PixelOp::kRotate:
      return {op, either_sign(share * 30.0)};
    case PixelOp::kPosterize: {
      const auto bits = std::trunc(share * 4);
      return {op, increasing ? 4 - bits : bits};
    }
    case PixelOp::kSolarize: {
      const double threshold = std::min(256.0, std::trunc(share * 256));
      return {op, increasing ? 256 - threshold : threshold};
    }
    case PixelOp::kSolarizeAdd:
      return {op, std::min(128.0, std::trunc(share * 110))};
    case PixelOp::kColour:
    case PixelOp::kContrast:
    case PixelOp::kBrightness:
    case PixelOp::kSharpness:
      return {op, increasing ? std::max(0.1, 1.0 + either_sign(share * .9)) : share * 1.8 + 0.1};
    case PixelOp::kShearX:
    case PixelOp::kShearY:
      return {op, either_sign(share * 0.3)};
    case PixelOp::kTranslateX:
      return {op, either_sign(share * 0.45) * width};
    case PixelOp::kTranslateY:
      return {op, either_sign(share * 0.45) * height};
    default:
      return {op, 0};
  }
}

// A standard normal number (Box and Muller).
double normal(const Draw& uniform) {
  const double radius = std::sqrt(-2 * std::log(1 - uniform()));
  return radius * std::cos(2 * std::numbers::pi * uniform());
}

std::vector<PolicyStep> draw_timm(const AugmentPolicy& policy, int width, int height, const Draw& uniform) {
  std::vector<PixelOp> ops;
  ops.reserve(static_cast<size_t>(policy.operations));
  for (int i = 0; i < policy.operations; ++i) ops.push_back(kTimmOps[index_below(std::size(kTimmOps), uniform)]);
  std::vector<PolicyStep> steps;
  for (const PixelOp op : ops) {
    if (policy.probability < 1 && uniform() > policy.probability) continue;
    double level = policy.magnitude;
    if (policy.deviation > 100) {
      level *= uniform();
    } else if (policy.deviation > 0) {
      level += policy.deviation * normal(uniform);
    }
    level = std::clamp(level, 0.0, kLevels);
    steps.push_back(timm_step(op, level, policy.increasing, width, height, uniform));
  }
  return steps;
}

// --- The text
// ---------------------------------------------------------------------------------------------------------

[[noreturn]] void refuse(const std::string& text) {
  throw Error(ErrorKind::kUsage,
              "expected none, autoaugment, randaugment[-m9][-n2], trivialaugment or timm's "
              "rand-m9[-n2][-p0.5][-mstd0.5][-inc1], found '" +
                  text + "'");
}

// "-m6-mstd0.5" from `at` on, as (letters, number) pairs.
std::vector<std::pair<std::string, double>> sections(const std::string& text, size_t at) {
  std::vector<std::pair<std::string, double>> list;
  while (at < text.size()) {
    if (text[at] != '-') refuse(text);
    const size_t end = std::min(text.find('-', at + 1), text.size());
    const size_t digits = text.find_first_of("0123456789", at + 1);
    if (digits == std::string::npos || digits >= end) refuse(text);
    double value = 0;
    const auto [rest, error] = std::from_chars(text.data() + digits, text.data() + end, value);
    if (error != std::errc() || rest != text.data() + end || !std::isfinite(value)) refuse(text);
    list.emplace_back(text.substr(at + 1, digits - at - 1), value);
    at = end;
  }
  return list;
}

int count_in(double value, int low, int high, const std::string& text) {
  if (value < low || value > high || value != std::floor(value)) refuse(text);
  return static_cast<int>(value);
}

}  // namespace

AugmentPolicy parse_augment_policy(const std::string& text) {
  constexpr int kMaxOperations = 16;
  AugmentPolicy policy;
  if (text == "none") return policy;
  if (text == "autoaugment") {
    policy.kind = PolicyKind::kAutoAugment;
    return policy;
  }
  if (text == "trivialaugment") {
    policy.kind = PolicyKind::kTrivialAugmentWide;
    return policy;
  }
  const std::string torchvision = "randaugment", timm = "rand";
  if (text.starts_with(torchvision)) {
    policy.kind = PolicyKind::kRandAugment;
    for (const auto& [key, value] : sections(text, torchvision.size())) {
      if (key == "m") {
        policy.magnitude = count_in(value, 0, kBins - 1, text);
      } else if (key == "n") {
        policy.operations = count_in(value, 1, kMaxOperations, text);
      } else {
        refuse(text);
      }
    }
    return policy;
  }
  if (!text.starts_with(timm + "-")) refuse(text);
  policy.kind = PolicyKind::kTimmRandAugment;
  policy.magnitude = kLevels;
  for (const auto& [key, value] : sections(text, timm.size())) {
    if (key == "m") {
      policy.magnitude = count_in(value, 0, static_cast<int>(kLevels), text);
    } else if (key == "n") {
      policy.operations = count_in(value, 1, kMaxOperations, text);
    } else if (key == "p") {
      if (value > 1) refuse(text);
      policy.probability = value;
    } else if (key == "mstd") {
      policy.deviation = value;
    } else if (key == "inc" && value == 1) {
      policy.increasing = true;
    } else {
      refuse(text);
    }
  }
  return policy;
}

std::vector<PolicyStep> choose_steps(const AugmentPolicy& policy, int width, int height, const Draw& uniform) {
  switch (policy.kind) {
    case PolicyKind::kNone:
      return {};
    case PolicyKind::kAutoAugment:
      return draw_auto_augment(rand_augment_ranges(width, height), uniform);
    case PolicyKind::kRandAugment: {
      std::vector<PolicyStep> steps;
      steps.reserve(static_cast<size_t>(policy.operations));
      for (int i = 0; i < policy.operations; ++i)
        steps.push_back(
            draw_torchvision(rand_augment_ranges(width, height), static_cast<int>(policy.magnitude), uniform));
      return steps;
    }
    case PolicyKind::kTrivialAugmentWide:
      return {draw_torchvision(kTrivialRanges, -1, uniform)};
    case PolicyKind::kTimmRandAugment:
      return draw_timm(policy, width, height, uniform);
  }
  return {};
}

Rgb policy_fill(const AugmentPolicy& policy) {
  if (policy.kind == PolicyKind::kTimmRandAugment) return {124, 116, 104};
  return {0, 0, 0};
}

void apply_step(const PolicyStep& step, const RgbImage& image, Resample resample, const Rgb& fill, Scratch& scratch) {
  const double v = step.value;
  const auto move = [&](const Affine& matrix) { transform(image, matrix, resample, fill, scratch); };
  switch (step.op) {
    case PixelOp::kIdentity:
      return;
    case PixelOp::kShearX:
      return move({1, v, 0, 0, 1, 0});
    case PixelOp::kShearY:
      return move({1, 0, 0, v, 1, 0});
    case PixelOp::kTranslateX:
      return move({1, 0, v, 0, 1, 0});
    case PixelOp::kTranslateY:
      return move({1, 0, 0, 0, 1, v});
    case PixelOp::kRotate:
      return move(rotation(v, image.width, image.height));
    case PixelOp::kBrightness:
      return adjust_brightness(image, v);
    case PixelOp::kColour:
      return adjust_colour(image, v);
    case PixelOp::kContrast:
      return adjust_contrast(image, v);
    case PixelOp::kSharpness:
      return adjust_sharpness(image, v, scratch);
    case PixelOp::kPosterize:
      return posterize(image, static_cast<int>(v));
    case PixelOp::kSolarize:
      return solarize(image, v);
    case PixelOp::kSolarizeAdd:
      return solarize_add(image, static_cast<int>(v), 128);
    case PixelOp::kAutoContrast:
      return auto_contrast(image);
    case PixelOp::kEqualize:
      return equalize(image);
    case PixelOp::kInvert:
      return invert(image);
  }
}

void apply_colour_jitter(const ColourJitter& jitter, const RgbImage& image, const Draw& uniform) {
  // A random order of the four (Fisher and Yates), then the factors.
  int order[] = {0, 1, 2, 3};
  for (int i = 3; i > 0; --i) std::swap(order[i], order[index_below(i + 1, uniform)]);
  const auto between = [&](double low, double high) { return low + (high - low) * uniform(); };
  const auto factor = [&](double s) { return s > 0 ? between(std::max(0.0, 1 - s), 1 + s) : 1.0; };
  const double brightness = factor(jitter.brightness), contrast = factor(jitter.contrast),
               saturation = factor(jitter.saturation);
  const double hue = jitter.hue > 0 ? between(-jitter.hue, jitter.hue) : 0;
  for (const int which : order) {
    if (which == 0 && jitter.brightness > 0) adjust_brightness(image, brightness);
    if (which == 1 && jitter.contrast > 0) adjust_contrast(image, contrast);
    if (which == 2 && jitter.saturation > 0) adjust_colour(image, saturation);
    if (which == 3 && jitter.hue > 0) shift_hue(image, hue);
  }
}

}  // namespace imgtrain::data
