// Conversions of half and bfloat16, from their definitions. Rounding is to the nearest, ties to even.
#include <bit>
#include <cmath>

#include "cuda_bf16.h"
#include "cuda_fp16.h"

float __half2float(__half value) {
  const int exponent = value.bits >> 10 & 31;
  const int fraction = value.bits & 1023;
  float magnitude = 0;
  if (exponent == 31) {
    magnitude = fraction == 0 ? INFINITY : NAN;
  } else if (exponent == 0) {
    magnitude = std::ldexp(static_cast<float>(fraction), -24);
  } else {
    magnitude = std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
  }
  return std::copysign(magnitude, value.bits >> 15 != 0 ? -1.0f : 1.0f);
}

__half __float2half_rn(float value) {
  const auto sign = static_cast<uint16_t>(std::signbit(value) ? 0x8000 : 0);
  const auto with_sign = [&](int bits) { return __half{static_cast<uint16_t>(sign | bits)}; };
  if (std::isnan(value)) return __half{0x7fff};
  const float magnitude = std::fabs(value);
  if (magnitude >= 65520.0f) return with_sign(0x7c00);  // Halfway from the largest number to the next power of two.
  // In units of the last place, which is 2^-24 for the smallest numbers; nearbyint() rounds halves to even.
  int exponent = 0;
  std::frexp(magnitude, &exponent);  // magnitude = m * 2^exponent with m in [0.5, 1).
  const int last_place = std::max(exponent - 11, -24);
  const auto units = static_cast<int>(std::nearbyint(std::ldexp(magnitude, -last_place)));
  // 1024 to 2048 units for normal numbers; a carry into the next power of two is a carry into the exponent's bits.
  return with_sign(magnitude == 0 ? 0 : units + ((last_place + 24) << 10));
}

float __bfloat162float(__nv_bfloat16 value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value.bits) << 16);
}

__nv_bfloat16 __float2bfloat16_rn(float value) {
  if (std::isnan(value)) return {0x7fff};
  const auto bits = std::bit_cast<uint32_t>(value);
  return {static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}
