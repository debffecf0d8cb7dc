#include "engine/data/erase_box.h"

#include <algorithm>
#include <cmath>

#include "engine/data/random_key.h"

namespace imgtrain::data {
namespace {

int index_below(int bound, const std::function<double()>& uniform) {
  return std::min(bound - 1, static_cast<int>(std::floor(uniform() * bound)));
}

}  // namespace

CropBox erasing_box(int width, int height, const RandomErasingOptions& options,
                    const std::function<double()>& uniform) {
  const double area = double(width) * height;
  const double min_log_ratio = std::log(options.min_ratio), max_log_ratio = std::log(options.max_ratio);
  const auto between = [&](double low, double high) { return low + (high - low) * uniform(); };
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double erased = area * between(options.min_scale, options.max_scale);
    const double ratio = std::exp(between(min_log_ratio, max_log_ratio));
    // Python's round(): halves go to the even neighbour.
    const int h = static_cast<int>(std::nearbyint(std::sqrt(erased * ratio)));
    const int w = static_cast<int>(std::nearbyint(std::sqrt(erased / ratio)));
    if (!(h < height && w < width)) continue;
    const int top = index_below(height - h + 1, uniform);
    const int left = index_below(width - w + 1, uniform);
    return {left, top, w, h};
  }
  return {};
}

CropBox cutout_box(int width, int height, int side, const std::function<double()>& uniform) {
  const int y = index_below(height, uniform), x = index_below(width, uniform);
  const int top = std::clamp(y - side / 2, 0, height), bottom = std::clamp(y + side / 2, 0, height);
  const int left = std::clamp(x - side / 2, 0, width), right = std::clamp(x + side / 2, 0, width);
  return {left, top, right - left, bottom - top};
}

BlankBoxes blank_boxes(int size, const RandomErasingOptions& erasing, double cutout_share, const SampleKey& key) {
  BlankBoxes boxes;
  if (erasing.probability <= 0 && cutout_share <= 0) return boxes;
  KeyedRandom random(key.seed, Purpose::kErase, key.epoch, key.sample_id, key.repeat);
  const auto uniform = [&] { return random.uniform(); };
  // Cutout's draws come first: they are always two.
  const auto side = static_cast<int>(std::nearbyint(cutout_share * size));
  const CropBox cutout = cutout_box(size, size, side, uniform);
  if (cutout_share > 0) boxes.cutout = cutout;
  if (random.uniform() < erasing.probability) boxes.erase = erasing_box(size, size, erasing, uniform);
  return boxes;
}

}  // namespace imgtrain::data
