// Stands where CUDA's header of this name would: the kernels of engine/kernels, compiled by the host's compiler, run on
// one CPU thread.
//
//   cudaLaunchKernelEx --> for every block: { its threads as fibers, each until its next barrier or end, in turn }
//
// What a GPU would leave to chance is made visible. Between two barriers a block's threads run in an order that
// set_thread_order() chooses, and so do the blocks: a kernel without races gives the same bytes in every order. Shared
// memory holds NaN when a block begins, and writing past what the launch asked for is an error, as is a barrier that
// some threads of a block reach and others never do.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>

#define __global__
#define __device__
#define __host__
#define __shared__
#define __launch_bounds__(threads, blocks)

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3() = default;
  constexpr dim3(unsigned x_, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};

// Of the fiber that runs.
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

void __syncthreads();

using std::min;

inline float __fadd_rn(float a, float b) {
  return a + b;
}
inline float __fmul_rn(float a, float b) {
  return a * b;
}
inline float __fmaf_rn(float a, float b, float c) {
  return std::fmaf(a, b, c);
}

using cudaStream_t = struct CUstream_st*;
enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidValue = 1 };
const char* cudaGetErrorString(cudaError_t error);

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
};

namespace emulated_cuda {

enum class ThreadOrder { kForward, kBackward, kShuffled };

// Of threads between barriers and of blocks, from now on.
void set_thread_order(ThreadOrder order);

// Empty, or the first thing that a kernel did wrong since the last call.
const char* take_violation();

// Grids that ran since the program began.
uint64_t launches();

cudaError_t run_grid(const cudaLaunchConfig_t& config, const std::function<void()>& thread);

}  // namespace emulated_cuda

template <class... Expected, class... Actual>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Expected...), Actual&&... arguments) {
  return emulated_cuda::run_grid(*config, [&] { kernel(arguments...); });
}
