#include "engine/data/repack_estimate.h"

#include <algorithm>

namespace imgtrain::data {
namespace {

constexpr double kLongSide = 500;
constexpr double kBytesPerPixel = 0.28;
constexpr double kTimeBesideBytes = 0.25;

}  // namespace

RepackEstimate estimate_repack(const imgpack::SplitView& split) {
  double before = 0, after = 0;
  for (size_t i = 0; i < split.records(); ++i) {
    const double width = split.columns.width[i], height = split.columns.height[i];
    const double scale = std::min(1.0, kLongSide / std::max({width, height, 1.0}));
    const double bytes = split.columns.record_bytes[i];
    before += bytes;
    after += std::min(bytes, kBytesPerPixel * width * height * scale * scale);
  }
  if (before <= 0) return {};
  RepackEstimate estimate;
  estimate.bytes = after / before;
  estimate.decode_speed = 1 / (kTimeBesideBytes + (1 - kTimeBesideBytes) * estimate.bytes);
  return estimate;
}

}  // namespace imgtrain::data
