// Integer randomness and trigonometry of the sample generator: the same pictures on every CPU and compiler.
#pragma once

#include <cstdint>

namespace imgpack::ingest {

// SplitMix64. A value type; equal seeds give equal sequences.
class SampleRandom {
 public:
  explicit SampleRandom(uint64_t seed) : state_(seed) {}
  uint64_t bits();
  int32_t between(int32_t low, int32_t high);  // Both ends included. REQUIRES: low <= high.
  bool one_in(uint32_t n) { return bits() % n == 0; }

 private:
  uint64_t state_;
};

uint64_t mix_bits(uint64_t value);  // A good 64-bit hash of one number.

// Angles are 1/1024 of a turn; results are scaled by 4096.
inline constexpr int32_t kTurn = 1024;
inline constexpr int32_t kOne = 4096;
int32_t sine(int32_t angle);
inline int32_t cosine(int32_t angle) {
  return sine(angle + kTurn / 4);
}
int32_t angle_of(int32_t x, int32_t y);  // In [0, kTurn); 0 for the origin.
int32_t root_of(int64_t value);          // Floor of the square root.

// Smooth noise in [0, 255] over the plane, one bump per `cell` units.
int32_t smooth_noise(uint64_t seed, int32_t x, int32_t y, int32_t cell);

}  // namespace imgpack::ingest
