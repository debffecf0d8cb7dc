#include "engine/data/batch_mix.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <span>

#include "engine/data/random_key.h"

namespace imgtrain::data {
namespace {

using Draw = std::function<double()>;

int index_below(int bound, const Draw& uniform) {
  return std::min(bound - 1, static_cast<int>(std::floor(uniform() * bound)));
}

double normal(const Draw& uniform) {
  const double radius = std::sqrt(-2 * std::log(1 - uniform()));
  return radius * std::cos(2 * std::numbers::pi * uniform());
}

// REQUIRES: alpha > 1.
double gamma_draw(double alpha, const Draw& uniform) {
  const double d = alpha - 1.0 / 3.0, c = 1 / std::sqrt(9 * d);
  while (true) {
    const double x = normal(uniform);
    const double v = std::pow(1 + c * x, 3);
    const double u = 1 - uniform();
    if (v > 0 && std::log(u) < 0.5 * x * x + d - d * v + d * std::log(v)) return d * v;
  }
}

std::vector<uint32_t> partners(MixStyle style, uint32_t images, KeyedRandom& random) {
  std::vector<uint32_t> partner(images);
  std::iota(partner.begin(), partner.end(), 0u);
  switch (style) {
    case MixStyle::kTimm:
      std::reverse(partner.begin(), partner.end());
      break;
    case MixStyle::kTorchvision:
      std::rotate(partner.begin(), partner.end() - 1, partner.end());
      break;
    case MixStyle::kComposer:
      shuffle(std::span(partner), random);
      break;
  }
  return partner;
}

}  // namespace

double beta_draw(double alpha, const Draw& uniform) {
  if (alpha > 1) {
    const double a = gamma_draw(alpha, uniform), b = gamma_draw(alpha, uniform);
    return a / (a + b);
  }
  while (true) {
    // Logarithms: small powers of small numbers would vanish.
    const double log_x = std::log(1 - uniform()) / alpha, log_y = std::log(1 - uniform()) / alpha;
    const double high = std::max(log_x, log_y);
    const double log_sum = high + std::log(std::exp(log_x - high) + std::exp(log_y - high));
    if (log_sum <= 0) return std::exp(log_x - log_sum);
  }
}

CropBox cutmix_box(int width, int height, double share, MixStyle style, const Draw& uniform) {
  const double ratio = std::sqrt(1 - share);
  const int half_width = static_cast<int>(width * ratio) / 2, half_height = static_cast<int>(height * ratio) / 2;
  int x = 0, y = 0;
  if (style == MixStyle::kTimm) {
    y = index_below(height, uniform);
    x = index_below(width, uniform);
  } else {
    x = index_below(width, uniform);
    y = index_below(height, uniform);
  }
  const int left = std::max(x - half_width, 0), right = std::min(x + half_width, width);
  const int top = std::max(y - half_height, 0), bottom = std::min(y + half_height, height);
  return {left, top, right - left, bottom - top};
}

GroupMix mix_group(const MixOptions& options, uint32_t images, int width, int height, const GroupKey& key) {
  GroupMix mix;
  if (!options.active() || images == 0) return mix;
  KeyedRandom random(key.seed, Purpose::kMixup, key.step, 0, key.group);
  const Draw uniform = [&] { return random.uniform(); };
  if (options.probability < 1 && uniform() >= options.probability) return mix;
  bool cutmix = options.cutmix_alpha > 0;
  if (cutmix && options.mixup_alpha > 0) cutmix = uniform() < options.cutmix_share;
  mix.share = beta_draw(cutmix ? options.cutmix_alpha : options.mixup_alpha, uniform);
  if (cutmix) {
    mix.kind = GroupMix::Kind::kCutmix;
    mix.box = cutmix_box(width, height, mix.share, options.style, uniform);
    mix.share = 1 - double(mix.box.width) * mix.box.height / (double(width) * height);
  } else {
    mix.kind = GroupMix::Kind::kMixup;
    if (options.style == MixStyle::kComposer) mix.share = std::max(mix.share, 1 - mix.share);
  }
  mix.partner = partners(options.style, images, random);
  return mix;
}

std::vector<uint8_t> kept_branches(const std::vector<double>& rates, uint32_t images, const GroupKey& key) {
  KeyedRandom random(key.seed, Purpose::kDropPath, key.step, 0, key.group);
  std::vector<uint8_t> kept;
  kept.reserve(rates.size() * images);
  for (const double rate : rates)
    for (uint32_t i = 0; i < images; ++i) kept.push_back(random.uniform() >= rate);
  return kept;
}

}  // namespace imgtrain::data
