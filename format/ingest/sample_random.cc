#include "format/ingest/sample_random.h"

#include <cstdlib>

namespace imgpack::ingest {

uint64_t mix_bits(uint64_t value) {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ull;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebull;
  return value ^ (value >> 31);
}

uint64_t SampleRandom::bits() {
  return mix_bits(state_ += 0x9e3779b97f4a7c15ull);
}

int32_t SampleRandom::between(int32_t low, int32_t high) {
  return low + static_cast<int32_t>(bits() % static_cast<uint64_t>(high - low + 1));
}

// Bhaskara's approximation, within 0.2 %: sin(pi t) = 16 t (1-t) / (5 - 4 t (1-t)).
int32_t sine(int32_t angle) {
  angle &= kTurn - 1;
  const int64_t half = kTurn / 2;
  const int64_t t = angle % half, parabola = t * (half - t);
  const int64_t value = 16 * parabola * kOne / (5 * half * half - 4 * parabola);
  return static_cast<int32_t>(angle < half ? value : -value);
}

int32_t angle_of(int32_t x, int32_t y) {
  if (x == 0 && y == 0) return 0;
  const int64_t ax = std::abs(static_cast<int64_t>(x)), ay = std::abs(static_cast<int64_t>(y));
  // Within an eighth of a turn: atan(r) is close to r (1.273 - 0.273 r) of its end.
  const int64_t low = ax < ay ? ax : ay, high = ax < ay ? ay : ax;
  const int64_t ratio = low * kOne / high;
  int64_t angle = ratio * (1273 * int64_t{kOne} - 273 * ratio) * (kTurn / 8) / (1000 * int64_t{kOne} * kOne);
  if (ay > ax) angle = kTurn / 4 - angle;
  if (x < 0) angle = kTurn / 2 - angle;
  if (y < 0) angle = kTurn - angle;
  return static_cast<int32_t>(angle & (kTurn - 1));
}

int32_t root_of(int64_t value) {
  int64_t root = 0;
  for (int64_t bit = int64_t{1} << 30; bit > 0; bit >>= 1) {
    if ((root + bit) * (root + bit) <= value) root += bit;
  }
  return static_cast<int32_t>(root);
}

int32_t smooth_noise(uint64_t seed, int32_t x, int32_t y, int32_t cell) {
  const auto floor_div = [cell](int32_t v) { return v >= 0 ? v / cell : -((cell - 1 - v) / cell); };
  const int32_t cx = floor_div(x), cy = floor_div(y);
  const auto corner = [&](int32_t dx, int32_t dy) {
    const uint64_t at = static_cast<uint64_t>(static_cast<uint32_t>(cx + dx)) << 32 | static_cast<uint32_t>(cy + dy);
    return static_cast<int64_t>(mix_bits(seed ^ mix_bits(at + 1)) >> 56);
  };
  // Weights 3t^2 - 2t^3, scaled by 4096.
  const auto weight = [cell](int32_t inside) {
    const int64_t t = int64_t{inside} * kOne / cell;
    return t * t * (3 * kOne - 2 * t) / (int64_t{kOne} * kOne);
  };
  const int64_t wx = weight(x - cx * cell), wy = weight(y - cy * cell);
  const int64_t top = corner(0, 0) * (kOne - wx) + corner(1, 0) * wx;
  const int64_t bottom = corner(0, 1) * (kOne - wx) + corner(1, 1) * wx;
  return static_cast<int32_t>((top * (kOne - wy) + bottom * wy) / (int64_t{kOne} * kOne));
}

}  // namespace imgpack::ingest
