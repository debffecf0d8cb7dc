// What the kernels of this folder are written with: conversions, vector loads and stores, shared memory, launching.
//
// Only .cu files include this. nvcc compiles them for GPUs; the tests compile the same files with the host's compiler,
// with headers of the same names in front that run a grid on one CPU thread (tests/support/emulated_cuda). So nothing
// here, and nothing in a .cu file, uses the <<<>>> syntax or built-ins that those headers do not have.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "engine/kernels/launch.h"

namespace imgtrain::kernels {

__device__ inline float to_float(float value) {
  return value;
}
__device__ inline float to_float(__half value) {
  return __half2float(value);
}
__device__ inline float to_float(__nv_bfloat16 value) {
  return __bfloat162float(value);
}

// Rounds to the nearest, ties to even, as every framework does.
template <class T>
__device__ T from_float(float value);
template <>
__device__ inline float from_float<float>(float value) {
  return value;
}
template <>
__device__ inline __half from_float<__half>(float value) {
  return __float2half_rn(value);
}
template <>
__device__ inline __nv_bfloat16 from_float<__nv_bfloat16>(float value) {
  return __float2bfloat16_rn(value);
}

// Elements of a 16-byte vector.
template <class T>
inline constexpr int kPerVector = kVectorBytes / static_cast<int>(sizeof(T));

// V neighbouring elements as they lie in memory: one 16-byte access where V is a whole vector, single ones otherwise.
template <class T, int V>
struct Pack {
  union {
    T element[V];
    uint4 vector;
  };
  __device__ Pack() : vector{} {}
};

template <class T, int V>
__device__ inline Pack<T, V> load(const T* from) {
  Pack<T, V> pack;
  if constexpr (V == kPerVector<T>) {
    pack.vector = *reinterpret_cast<const uint4*>(from);
  } else {
#pragma unroll
    for (int i = 0; i < V; ++i) pack.element[i] = from[i];
  }
  return pack;
}

template <class T, int V>
__device__ inline void store(T* to, const Pack<T, V>& pack) {
  if constexpr (V == kPerVector<T>) {
    *reinterpret_cast<uint4*>(to) = pack.vector;
  } else {
#pragma unroll
    for (int i = 0; i < V; ++i) to[i] = pack.element[i];
  }
}

// The shared memory that a launch asked for. Holds anything when a block begins.
__device__ inline float* block_memory() {
  extern __shared__ float imgtrain_block_memory[];
  return imgtrain_block_memory;
}

// Queues a grid.
template <class... Parameters, class... Arguments>
KernelStatus queue(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, Stream stream,
                   Arguments... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  const cudaError_t outcome = cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...);
  return {outcome == cudaSuccess ? nullptr : cudaGetErrorString(outcome)};
}

}  // namespace imgtrain::kernels
