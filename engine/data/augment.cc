#include "engine/data/augment.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "engine/data/random_key.h"
#include "format/error.h"

namespace imgtrain::data {
namespace {

using imgpack::Error;
using imgpack::ErrorKind;
using imgpack::jpeg::SampleWindow;

// Python's round(): halves go to the even neighbour.
int python_round(double value) {
  return static_cast<int>(std::nearbyint(value));
}

SampleWindow crop_window(int x, int y, int width, int height, bool flip) {
  SampleWindow window;
  window.use_x = x;
  window.use_y = y;
  window.use_width = width;
  window.use_height = height;
  window.x0 = x;
  window.y0 = y;
  window.x1 = x + width;
  window.y1 = y + height;
  window.flip = flip;
  return window;
}

void require_image(uint32_t width, uint32_t height) {
  constexpr uint32_t kMaxSide = 1u << 24;
  if (width == 0 || height == 0 || width > kMaxSide || height > kMaxSide)
    throw Error(ErrorKind::kInvalidInput, "image size out of range: expected 1 to 16777216 pixels a side, found " +
                                              std::to_string(width) + " x " + std::to_string(height));
}

}  // namespace

CropBox random_resized_crop_box(uint32_t image_width, uint32_t image_height, const RandomResizedCropOptions& options,
                                const std::function<double()>& uniform) {
  require_image(image_width, image_height);
  const int width = static_cast<int>(image_width), height = static_cast<int>(image_height);
  const double area = double(width) * height;
  const double min_log_ratio = std::log(options.min_ratio), max_log_ratio = std::log(options.max_ratio);
  const auto between = [&](double low, double high) { return low + (high - low) * uniform(); };
  const auto integer_below = [&](int bound) {
    return std::min(bound - 1, static_cast<int>(std::floor(uniform() * bound)));
  };
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double target_area = area * between(options.min_scale, options.max_scale);
    const double ratio = std::exp(between(min_log_ratio, max_log_ratio));
    const int w = python_round(std::sqrt(target_area * ratio));
    const int h = python_round(std::sqrt(target_area / ratio));
    if (w > 0 && w <= width && h > 0 && h <= height) {
      const int top = integer_below(height - h + 1);
      const int left = integer_below(width - w + 1);
      return {left, top, w, h};
    }
  }
  const double ratio = double(width) / height;
  int w = width, h = height;
  if (ratio < options.min_ratio) {
    h = std::max(1, python_round(w / options.min_ratio));
  } else if (ratio > options.max_ratio) {
    w = std::max(1, python_round(h * options.max_ratio));
  }
  return {(width - w) / 2, (height - h) / 2, w, h};
}

void check(const RandomResizedCropOptions& options) {
  const auto fail = [](const std::string& what) { throw Error(ErrorKind::kUsage, what); };
  if (!(options.min_scale > 0 && options.min_scale <= options.max_scale && options.max_scale <= 1))
    fail("crop scale out of range: expected 0 < min <= max <= 1, found " + std::to_string(options.min_scale) + " to " +
         std::to_string(options.max_scale));
  if (!(options.min_ratio > 0 && options.min_ratio <= options.max_ratio && options.max_ratio <= 1000))
    fail("crop ratio out of range: expected 0 < min <= max <= 1000, found " + std::to_string(options.min_ratio) +
         " to " + std::to_string(options.max_ratio));
  if (!(options.flip_probability >= 0 && options.flip_probability <= 1))
    fail("flip probability out of range: expected 0 to 1, found " + std::to_string(options.flip_probability));
}

SampleWindow random_resized_crop(uint32_t width, uint32_t height, const RandomResizedCropOptions& options,
                                 const SampleKey& key) {
  KeyedRandom crop(key.seed, Purpose::kCrop, key.epoch, key.sample_id, key.repeat);
  KeyedRandom flip(key.seed, Purpose::kFlip, key.epoch, key.sample_id, key.repeat);
  const CropBox box = random_resized_crop_box(width, height, options, [&] { return crop.uniform(); });
  return crop_window(box.x, box.y, box.width, box.height, flip.uniform() < options.flip_probability);
}

SampleWindow resize_center_crop(uint32_t width, uint32_t height, uint32_t resize_short, uint32_t crop) {
  require_image(width, height);
  if (crop == 0 || crop > resize_short)
    throw Error(ErrorKind::kUsage, "crop larger than the resized image: expected a crop of 1 to " +
                                       std::to_string(resize_short) + " pixels, found " + std::to_string(crop));
  // The short side becomes resize_short, the long one keeps the proportion, rounded down.
  const uint64_t longer = uint64_t{resize_short} * std::max(width, height) / std::min(width, height);
  const double new_width = width <= height ? resize_short : static_cast<double>(longer);
  const double new_height = width <= height ? static_cast<double>(longer) : resize_short;
  const double left = std::nearbyint((new_width - crop) / 2), top = std::nearbyint((new_height - crop) / 2);

  SampleWindow window;
  window.use_width = static_cast<int>(width);
  window.use_height = static_cast<int>(height);
  window.x0 = left * width / new_width;
  window.x1 = (left + crop) * width / new_width;
  window.y0 = top * height / new_height;
  window.y1 = (top + crop) * height / new_height;
  return window;
}

SampleWindow center_square(uint32_t width, uint32_t height, double ratio) {
  require_image(width, height);
  const int side = std::max(1, static_cast<int>(ratio * std::min(width, height)));
  return crop_window((static_cast<int>(width) - side) / 2, (static_cast<int>(height) - side) / 2, side, side, false);
}

}  // namespace imgtrain::data
