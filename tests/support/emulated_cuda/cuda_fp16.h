// Stands where CUDA's header of this name would: the type and the two conversions that engine/kernels uses.
#pragma once

#include <cstdint>

struct __half {
  uint16_t bits;
};
float __half2float(__half value);
__half __float2half_rn(float value);
