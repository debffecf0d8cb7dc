#include "engine/kernels/batch_norm_device.h"

namespace imgtrain::kernels {
namespace {

// With g = dL/dy where ReLU let it pass, d = x - mean and N rows:
//   dbias = sum(g)    dweight = sum(g * d) * invstd    dshortcut = g
//   dx = weight * invstd * (g - sum(g) / N - d * invstd^2 * sum(g * d) / N)
// Where a shortcut was added, the first kernel makes g and stores it as dshortcut, and the second one starts from
// there.

// Whether ReLU let an element pass, by the same arithmetic and rounding as in forward: the same decision.
template <class T, int V>
__device__ inline bool passed_relu(const Pack<T, V>& x, const Normalisation<V>& normalised, int i) {
  return passes(to_float(from_float<T>(normalised(to_float(x.element[i]), i))));
}

// Four rows of two maps, or two rows of three, on their way at once: no more fit into the registers.
template <bool kTwoGradients>
inline constexpr int kRowsAhead = kTwoGradients ? kRowsAtOnce / 2 : kRowsAtOnce;

// sum(g) and sum(g * d) of every channel over the rows of each block row, and with kAddRelu g itself. `dshortcut` may
// be the memory of `dy` or `dy_too`, element by element.
//   partial: row_blocks x {sum(g), sum(g * d)} x channels
template <class T, int V, Activation kActivation, bool kTwoGradients>
__global__ void __launch_bounds__(kBlockThreads, kBlocksPerMultiprocessor)
    sums_kernel(const T* dy, const T* dy_too, const T* __restrict__ x, const uint8_t* __restrict__ mask,
                const float* __restrict__ mean, const float* __restrict__ invstd, const float* __restrict__ weight,
                const float* __restrict__ bias, int64_t rows, int channels, T* dshortcut, float* __restrict__ partial) {
  constexpr int kAhead = kRowsAhead<kTwoGradients>;
  const Place<V> place(channels);
  float sum[V], product[V];
#pragma unroll
  for (int i = 0; i < V; ++i) sum[i] = product[i] = 0.0f;
  if (place.has_channels()) {
    const Normalisation<V> normalised(mean, invstd, weight, bias, place.channel);
    const auto add = [&](int64_t row, const Pack<T, V>& of_y, const Pack<T, V>& of_y_too, const Pack<T, V>& in,
                         unsigned bits) {
      Pack<T, V> of_shortcut;
#pragma unroll
      for (int i = 0; i < V; ++i) {
        bool pass = true;
        if constexpr (kActivation == Activation::kRelu) pass = passed_relu<T, V>(in, normalised, i);
        if constexpr (kActivation == Activation::kAddRelu) pass = (bits >> i & 1u) != 0;
        float gradient = to_float(of_y.element[i]);
        // Rounded, as it would be if somebody else had added and stored them, and as the next kernel reads it.
        if constexpr (kTwoGradients)
          gradient = to_float(from_float<T>(__fadd_rn(gradient, to_float(of_y_too.element[i]))));
        gradient = pass ? gradient : 0.0f;
        if constexpr (kActivation == Activation::kAddRelu) of_shortcut.element[i] = from_float<T>(gradient);
        sum[i] += gradient;
        product[i] += gradient * (to_float(in.element[i]) - normalised.mean[i]);
      }
      if constexpr (kActivation == Activation::kAddRelu) store<T, V>(dshortcut + place.at(row), of_shortcut);
    };
    int64_t row = place.row;
    for (; row + (kAhead - 1) * place.stride < rows; row += kAhead * place.stride) {
      Pack<T, V> of_y[kAhead], of_y_too[kAhead], in[kAhead];
      unsigned bits[kAhead] = {};
#pragma unroll
      for (int k = 0; k < kAhead; ++k) {
        const int64_t at = row + k * place.stride;
        of_y[k] = load<T, V>(dy + place.at(at));
        if constexpr (kTwoGradients) of_y_too[k] = load<T, V>(dy_too + place.at(at));
        in[k] = load<T, V>(x + place.at(at));
        if constexpr (kActivation == Activation::kAddRelu) bits[k] = mask[place.mask_at(at)];
      }
#pragma unroll
      for (int k = 0; k < kAhead; ++k) add(row + k * place.stride, of_y[k], of_y_too[k], in[k], bits[k]);
    }
    for (; row < rows; row += place.stride) {
      Pack<T, V> of_y_too;
      unsigned bits = 0;
      if constexpr (kTwoGradients) of_y_too = load<T, V>(dy_too + place.at(row));
      if constexpr (kActivation == Activation::kAddRelu) bits = mask[place.mask_at(row)];
      add(row, load<T, V>(dy + place.at(row)), of_y_too, load<T, V>(x + place.at(row)), bits);
    }
  }

  const unsigned threads = blockDim.x * blockDim.y, own = threadIdx.y * blockDim.x + threadIdx.x;
  float* const shared = block_memory();
#pragma unroll
  for (int i = 0; i < V; ++i) {
    shared[i * threads + own] = sum[i];
    shared[(V + i) * threads + own] = product[i];
  }
  merge_columns([&](unsigned to, unsigned from) {
#pragma unroll
    for (int i = 0; i < 2 * V; ++i) shared[i * threads + to] += shared[i * threads + from];
  });
  if (threadIdx.y != 0 || !place.has_channels()) return;
  float* const sums = partial + static_cast<int64_t>(blockIdx.y) * 2 * channels + place.channel;
#pragma unroll
  for (int i = 0; i < V; ++i) {
    sums[i] = shared[i * threads + own];
    sums[channels + i] = shared[(V + i) * threads + own];
  }
}

// All block rows' sums of each channel become parameters' gradients and the factors of dx.
//   factors: {sum(g) / N, invstd^2 * sum(g * d) / N} x channels. Block: kMergeLanes x kMergeDepth.
__global__ void finish_sums_kernel(const float* __restrict__ partial, int row_blocks, int channels, float rows,
                                   const float* __restrict__ invstd, float* __restrict__ dweight,
                                   float* __restrict__ dbias, float* __restrict__ factors) {
  const int channel = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  float sum = 0, product = 0;
  if (channel < channels) {
    for (int b = static_cast<int>(threadIdx.y); b < row_blocks; b += static_cast<int>(blockDim.y)) {
      const float* const sums = partial + static_cast<int64_t>(b) * 2 * channels + channel;
      sum += sums[0];
      product += sums[channels];
    }
  }
  const unsigned threads = blockDim.x * blockDim.y, own = threadIdx.y * blockDim.x + threadIdx.x;
  float* const shared = block_memory();
  shared[own] = sum;
  shared[threads + own] = product;
  merge_columns([&](unsigned to, unsigned from) {
    shared[to] += shared[from];
    shared[threads + to] += shared[threads + from];
  });
  if (threadIdx.y != 0 || channel >= channels) return;
  const float all = shared[own], all_products = shared[threads + own] * invstd[channel];
  dbias[channel] = all;
  dweight[channel] = all_products;
  factors[channel] = all / rows;
  factors[channels + channel] = all_products * invstd[channel] / rows;
}

// dx from dy, or from g where `kRelu` is false. `dy` may be the same memory as `dx`, element by element.
template <class T, int V, bool kRelu>
__global__ void __launch_bounds__(kBlockThreads, kBlocksPerMultiprocessor)
    gradient_kernel(const T* dy, const T* __restrict__ x, const float* __restrict__ mean,
                    const float* __restrict__ invstd, const float* __restrict__ weight, const float* __restrict__ bias,
                    const float* __restrict__ factors, int64_t rows, int channels, T* dx) {
  const Place<V> place(channels);
  if (!place.has_channels()) return;
  const Normalisation<V> normalised(mean, invstd, weight, bias, place.channel);
  float offset[V], slope[V];
#pragma unroll
  for (int i = 0; i < V; ++i) {
    offset[i] = factors[place.channel + i];
    slope[i] = factors[channels + place.channel + i];
  }
  const auto finish = [&](int64_t row, const Pack<T, V>& of_y, const Pack<T, V>& in) {
    Pack<T, V> of_x;
#pragma unroll
    for (int i = 0; i < V; ++i) {
      bool pass = true;
      if constexpr (kRelu) pass = passed_relu<T, V>(in, normalised, i);
      const float gradient = pass ? to_float(of_y.element[i]) : 0.0f;
      const float deviation = to_float(in.element[i]) - normalised.mean[i];
      of_x.element[i] = from_float<T>(normalised.scale[i] * (gradient - offset[i] - deviation * slope[i]));
    }
    store<T, V>(dx + place.at(row), of_x);
  };
  int64_t row = place.row;
  for (; row + (kRowsAtOnce - 1) * place.stride < rows; row += kRowsAtOnce * place.stride) {
    Pack<T, V> of_y[kRowsAtOnce], in[kRowsAtOnce];
#pragma unroll
    for (int k = 0; k < kRowsAtOnce; ++k) {
      of_y[k] = load<T, V>(dy + place.at(row + k * place.stride));
      in[k] = load<T, V>(x + place.at(row + k * place.stride));
    }
#pragma unroll
    for (int k = 0; k < kRowsAtOnce; ++k) finish(row + k * place.stride, of_y[k], in[k]);
  }
  for (; row < rows; row += place.stride) finish(row, load<T, V>(dy + place.at(row)), load<T, V>(x + place.at(row)));
}

struct QueueBackward {
  const BatchNormBackward& a;
  Stream stream;

  template <class T, int V, Activation kActivation, bool kTwoGradients>
  KernelStatus both_passes() const {
    const BatchNormPlan plan = plan_batch_norm(a.shape);
    const dim3 grid(static_cast<unsigned>(plan.channel_blocks), static_cast<unsigned>(plan.row_blocks));
    const dim3 block(static_cast<unsigned>(plan.lanes), static_cast<unsigned>(plan.depth));
    const int64_t channels = a.shape.channels;
    const auto* const dy = static_cast<const T*>(a.dy);
    const auto* const x = static_cast<const T*>(a.x);
    auto* const dshortcut = static_cast<T*>(a.dshortcut);
    float* const partial = a.workspace;
    float* const factors = partial + plan.row_blocks * (2 * channels + 1);
    KernelStatus status =
        queue(sums_kernel<T, V, kActivation, kTwoGradients>, grid, block, kBlockThreads * 2 * V * sizeof(float), stream,
              dy, static_cast<const T*>(a.dy_too), x, a.mask, a.mean, a.invstd, a.weight, a.bias, a.shape.rows,
              a.shape.channels, dshortcut, partial);
    if (!status.ok()) return status;
    status = queue(finish_sums_kernel, dim3(static_cast<unsigned>((channels + kMergeLanes - 1) / kMergeLanes)),
                   dim3(kMergeLanes, kMergeDepth), kMergeLanes * kMergeDepth * 2 * sizeof(float), stream, partial,
                   plan.row_blocks, a.shape.channels, static_cast<float>(a.shape.rows), a.invstd, a.dweight, a.dbias,
                   factors);
    if (!status.ok()) return status;
    return queue(gradient_kernel<T, V, kActivation == Activation::kRelu>, grid, block, 0, stream,
                 kActivation == Activation::kAddRelu ? dshortcut : dy, x, a.mean, a.invstd, a.weight, a.bias, factors,
                 a.shape.rows, a.shape.channels, static_cast<T*>(a.dx));
  }

  template <class T, int V>
  KernelStatus operator()() const {
    switch (a.activation) {
      case Activation::kNone:
        return both_passes<T, V, Activation::kNone, false>();
      case Activation::kRelu:
        return both_passes<T, V, Activation::kRelu, false>();
      case Activation::kAddRelu:
        return a.dy_too == nullptr ? both_passes<T, V, Activation::kAddRelu, false>()
                                   : both_passes<T, V, Activation::kAddRelu, true>();
    }
    return {"an activation that the kernels do not know"};
  }
};

}  // namespace

KernelStatus launch_batch_norm_backward(const BatchNormBackward& a, Stream stream) {
  for (const void* pointer :
       {a.x, a.dy, a.dy_too, static_cast<const void*>(a.dx), static_cast<const void*>(a.dshortcut)})
    if (!aligned(pointer)) return {"batch norm: a feature map is not aligned to 16 bytes"};
  if (a.dy_too != nullptr && a.activation != Activation::kAddRelu)
    return {"batch norm: two gradients where no shortcut was added"};
  return with_type(a.shape, QueueBackward{a, stream});
}

}  // namespace imgtrain::kernels
