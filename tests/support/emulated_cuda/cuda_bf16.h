// Stands where CUDA's header of this name would: the type and the two conversions that engine/kernels uses.
#pragma once

#include <cstdint>

struct __nv_bfloat16 {
  uint16_t bits;
};
float __bfloat162float(__nv_bfloat16 value);
__nv_bfloat16 __float2bfloat16_rn(float value);
