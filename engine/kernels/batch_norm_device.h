// What the forward and the backward kernels of batch norm share: where a thread stands in the plan, and the arithmetic
// that backward repeats, which must give the same bits both times.
#pragma once

#include "engine/kernels/batch_norm.h"
#include "engine/kernels/device_code.h"

namespace imgtrain::kernels {

// A thread's place: its channels and its rows.
template <int V>
struct Place {
  int channels;
  int channel;     // The first of V; at or past `channels`: this thread has none.
  int64_t row;     // The first.
  int64_t stride;  // To the next.
  __device__ explicit Place(int all_channels)
      : channels(all_channels),
        channel(static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x) * V),
        row(static_cast<int64_t>(blockIdx.y) * blockDim.y + threadIdx.y),
        stride(static_cast<int64_t>(gridDim.y) * blockDim.y) {}
  __device__ bool has_channels() const { return channel < channels; }
  __device__ int64_t at(int64_t r) const { return r * channels + channel; }
  __device__ int64_t mask_at(int64_t r) const { return r * (channels / V) + channel / V; }
};

// use(row, load(row)) for each row of this thread, the loads of kAhead rows ahead of their use.
template <int kAhead, int V, class Load, class Use>
__device__ inline void for_each_row(const Place<V>& place, int64_t rows, const Load& load_row, const Use& use) {
  int64_t row = place.row;
  for (; row + (kAhead - 1) * place.stride < rows; row += kAhead * place.stride) {
    decltype(load_row(row)) ahead[kAhead];
#pragma unroll
    for (int k = 0; k < kAhead; ++k) ahead[k] = load_row(row + k * place.stride);
#pragma unroll
    for (int k = 0; k < kAhead; ++k) use(row + k * place.stride, ahead[k]);
  }
  for (; row < rows; row += place.stride) use(row, load_row(row));
}

// Whether a shortcut is added.
template <Activation kActivation>
inline constexpr bool kAdds = adds(kActivation);

// V channels' parameters, in registers.
template <int V>
struct Normalisation {
  float mean[V], scale[V], bias[V];
  __device__ Normalisation(const float* means, const float* invstds, const float* weights, const float* biases,
                           int channel) {
#pragma unroll
    for (int i = 0; i < V; ++i) {
      mean[i] = means[channel + i];
      scale[i] = __fmul_rn(weights[channel + i], invstds[channel + i]);
      bias[i] = biases[channel + i];
    }
  }
  // The difference first: its digits are those that count where the mean is large.
  __device__ float operator()(float x, int i) const {
    return __fmaf_rn(__fadd_rn(x, -mean[i]), scale[i], bias[i]);
  }
};

// ReLU that lets NaN through.
__device__ inline float relu(float value) {
  return value < 0.0f ? 0.0f : value;
}
// Whether it lets the gradient through; NaN does. Asked of what was stored, after rounding.
__device__ inline bool passes(float stored) {
  return !(stored <= 0.0f);
}

// Adds the float `member`s of all threads of a column of the block into those of its first row, in a fixed order.
// merge(to, from): both index shared memory by thread. Every thread of the block calls it.
template <class Merge>
__device__ void merge_columns(const Merge& merge) {
  for (unsigned half = blockDim.y / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.y < half) {
      const unsigned own = threadIdx.y * blockDim.x + threadIdx.x;
      merge(own, own + half * blockDim.x);
    }
  }
}

// Blocks that merge partial results: this many channels beside one another, this many stripes of block rows.
inline constexpr int kMergeLanes = 32, kMergeDepth = 16;

// Calls function<T, V>() for the type and vector of a shape.
template <class T, class Function>
KernelStatus with_vector(const BatchNormPlan& plan, const Function& function) {
  return plan.vector == 1 ? function.template operator()<T, 1>() : function.template operator()<T, kPerVector<T>>();
}
template <class Function>
KernelStatus with_type(const BatchNormShape& shape, const Function& function) {
  const BatchNormPlan plan = plan_batch_norm(shape);
  switch (shape.type) {
    case NumberType::kFloat:
      return with_vector<float>(plan, function);
    case NumberType::kHalf:
      return with_vector<__half>(plan, function);
    case NumberType::kBFloat16:
      return with_vector<__nv_bfloat16>(plan, function);
  }
  return {"a number type that the kernels do not know"};
}

inline bool aligned(const void* pointer) {
  return reinterpret_cast<uintptr_t>(pointer) % kVectorBytes == 0;
}

}  // namespace imgtrain::kernels
