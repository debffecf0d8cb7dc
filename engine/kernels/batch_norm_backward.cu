#include "engine/kernels/batch_norm_device.h"

namespace imgtrain::kernels {
namespace {

// With g = dL/dy where ReLU let it pass, d = x - mean and N rows:
//   dbias = sum(g)    dweight = sum(g * d) * invstd    dshortcut = g
//   dx = weight * invstd * (g - sum(g) / N - d * invstd^2 * sum(g * d) / N)
// Where a shortcut was added, the first kernel makes g and stores it as dshortcut, and the second one starts from
// there. Where the shortcut has a batch norm of its own, the second kernel runs for that too, in g's place.

// Whether ReLU let an element pass, by the same arithmetic and rounding as in forward: the same decision.
template <class T, int V>
__device__ inline bool passed_relu(const Pack<T, V>& x, const Normalisation<V>& normalised, int i) {
  return passes(to_float(from_float<T>(normalised(to_float(x.element[i]), i))));
}

// Four rows of two maps on their way at once, two of three or one of four: no more fit into the registers.
template <Activation kActivation, bool kTwoGradients>
inline constexpr int kRowsAhead = kRowsAtOnce >>
                                  ((kTwoGradients ? 1 : 0) + (kActivation == Activation::kAddNormRelu ? 1 : 0));

// sum(g) and sum(g * d) of every channel over the rows of each block row, and where a shortcut was added g itself.
// `dshortcut` may be the memory of `dy` or `dy_too`, element by element.
//   partial: row_blocks x {sum(g), sum(g * d) [, sum(g * d of the shortcut)]} x channels
template <class T, int V, Activation kActivation, bool kTwoGradients>
__global__ void __launch_bounds__(kBlockThreads, kBlocksPerMultiprocessor)
    sums_kernel(const T* dy, const T* dy_too, const T* __restrict__ x, const T* __restrict__ shortcut,
                const uint8_t* __restrict__ mask, const float* __restrict__ mean, const float* __restrict__ invstd,
                const float* __restrict__ weight, const float* __restrict__ bias,
                const float* __restrict__ shortcut_mean, int64_t rows, int channels, T* dshortcut,
                float* __restrict__ partial) {
  constexpr bool kPair = kActivation == Activation::kAddNormRelu;
  constexpr int kAhead = kRowsAhead<kActivation, kTwoGradients>, kParts = kPair ? 3 : 2;
  const Place<V> place(channels);
  float sums[kParts][V];
#pragma unroll
  for (int part = 0; part < kParts; ++part)
#pragma unroll
    for (int i = 0; i < V; ++i) sums[part][i] = 0.0f;
  if (place.has_channels()) {
    const Normalisation<V> normalised(mean, invstd, weight, bias, place.channel);
    float other_mean[V];
    if constexpr (kPair) {
#pragma unroll
      for (int i = 0; i < V; ++i) other_mean[i] = shortcut_mean[place.channel + i];
    }
    struct Row {
      Pack<T, V> of_y, of_y_too, in, around;
      unsigned bits = 0;
    };
    const auto load_row = [&](int64_t row) {
      Row r;
      r.of_y = load<T, V>(dy + place.at(row));
      if constexpr (kTwoGradients) r.of_y_too = load<T, V>(dy_too + place.at(row));
      r.in = load<T, V>(x + place.at(row));
      if constexpr (kPair) r.around = load<T, V>(shortcut + place.at(row));
      if constexpr (kAdds<kActivation>) r.bits = mask[place.mask_at(row)];
      return r;
    };
    const auto add = [&](int64_t row, const Row& r) {
      Pack<T, V> of_shortcut;
#pragma unroll
      for (int i = 0; i < V; ++i) {
        bool pass = true;
        if constexpr (kActivation == Activation::kRelu) pass = passed_relu<T, V>(r.in, normalised, i);
        if constexpr (kAdds<kActivation>) pass = (r.bits >> i & 1u) != 0;
        float gradient = to_float(r.of_y.element[i]);
        // Rounded, as it would be if somebody else had added and stored them, and as the next kernel reads it.
        if constexpr (kTwoGradients)
          gradient = to_float(from_float<T>(__fadd_rn(gradient, to_float(r.of_y_too.element[i]))));
        gradient = pass ? gradient : 0.0f;
        if constexpr (kAdds<kActivation>) of_shortcut.element[i] = from_float<T>(gradient);
        sums[0][i] += gradient;
        sums[1][i] += gradient * (to_float(r.in.element[i]) - normalised.mean[i]);
        if constexpr (kPair) sums[2][i] += gradient * (to_float(r.around.element[i]) - other_mean[i]);
      }
      if constexpr (kAdds<kActivation>) store<T, V>(dshortcut + place.at(row), of_shortcut);
    };
    for_each_row<kAhead>(place, rows, load_row, add);
  }

  const unsigned threads = blockDim.x * blockDim.y, own = threadIdx.y * blockDim.x + threadIdx.x;
  float* const shared = block_memory();
#pragma unroll
  for (int part = 0; part < kParts; ++part)
#pragma unroll
    for (int i = 0; i < V; ++i) shared[(part * V + i) * threads + own] = sums[part][i];
  merge_columns([&](unsigned to, unsigned from) {
#pragma unroll
    for (int i = 0; i < kParts * V; ++i) shared[i * threads + to] += shared[i * threads + from];
  });
  if (threadIdx.y != 0 || !place.has_channels()) return;
  float* const all = partial + static_cast<int64_t>(blockIdx.y) * kParts * channels + place.channel;
#pragma unroll
  for (int part = 0; part < kParts; ++part)
#pragma unroll
    for (int i = 0; i < V; ++i) all[part * channels + i] = shared[(part * V + i) * threads + own];
}

// All block rows' sums of each channel become a batch norm's gradients of parameters and the factors of dx.
//   partial: row_blocks x parts x channels, of which part 0 is sum(g) and `product` sum(g * d)
//   factors: {sum(g) / N, invstd^2 * sum(g * d) / N} x channels. Block: kMergeLanes x kMergeDepth.
__global__ void finish_sums_kernel(const float* __restrict__ partial, int row_blocks, int parts, int product_part,
                                   int channels, float rows, const float* __restrict__ invstd,
                                   float* __restrict__ dweight, float* __restrict__ dbias,
                                   float* __restrict__ factors) {
  const int channel = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  float sum = 0, product = 0;
  if (channel < channels) {
    for (int b = static_cast<int>(threadIdx.y); b < row_blocks; b += static_cast<int>(blockDim.y)) {
      const float* const sums = partial + static_cast<int64_t>(b) * parts * channels + channel;
      sum += sums[0];
      product += sums[product_part * channels];
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
  struct Row {
    Pack<T, V> of_y, in;
  };
  const auto load_row = [&](int64_t row) {
    Row r;
    r.of_y = load<T, V>(dy + place.at(row));
    r.in = load<T, V>(x + place.at(row));
    return r;
  };
  const auto finish = [&](int64_t row, const Row& r) {
    Pack<T, V> of_x;
#pragma unroll
    for (int i = 0; i < V; ++i) {
      bool pass = true;
      if constexpr (kRelu) pass = passed_relu<T, V>(r.in, normalised, i);
      const float gradient = pass ? to_float(r.of_y.element[i]) : 0.0f;
      const float deviation = to_float(r.in.element[i]) - normalised.mean[i];
      of_x.element[i] = from_float<T>(normalised.scale[i] * (gradient - offset[i] - deviation * slope[i]));
    }
    store<T, V>(dx + place.at(row), of_x);
  };
  for_each_row<kRowsAtOnce>(place, rows, load_row, finish);
}

struct QueueBackward {
  const BatchNormBackward& a;
  Stream stream;

  // `part`: of the partial sums, which hold `parts`; `factors`: where those go.
  KernelStatus finish_sums(const BatchNormPlan& plan, int parts, int part, const NormBackward& norm,
                           float* factors) const {
    const auto blocks = static_cast<unsigned>((a.shape.channels + kMergeLanes - 1) / kMergeLanes);
    return queue(finish_sums_kernel, dim3(blocks), dim3(kMergeLanes, kMergeDepth),
                 kMergeLanes * kMergeDepth * 2 * sizeof(float), stream, a.workspace, plan.row_blocks, parts, part,
                 a.shape.channels, static_cast<float>(a.shape.rows), norm.invstd, norm.dweight, norm.dbias, factors);
  }

  template <class T, int V, bool kRelu>
  KernelStatus gradient(dim3 grid, dim3 block, const T* dy, const void* x, const NormBackward& norm,
                        const float* factors, void* dx) const {
    return queue(gradient_kernel<T, V, kRelu>, grid, block, 0, stream, dy, static_cast<const T*>(x), norm.mean,
                 norm.invstd, norm.weight, norm.bias, factors, a.shape.rows, a.shape.channels, static_cast<T*>(dx));
  }

  template <class T, int V, Activation kActivation, bool kTwoGradients>
  KernelStatus all_passes() const {
    constexpr bool kPair = kActivation == Activation::kAddNormRelu;
    constexpr int kParts = kPair ? 3 : 2;
    const BatchNormPlan plan = plan_batch_norm(a.shape);
    const dim3 grid(static_cast<unsigned>(plan.channel_blocks), static_cast<unsigned>(plan.row_blocks));
    const dim3 block(static_cast<unsigned>(plan.lanes), static_cast<unsigned>(plan.depth));
    const int64_t channels = a.shape.channels;
    const auto* const dy = static_cast<const T*>(a.dy);
    auto* const dshortcut = static_cast<T*>(a.dshortcut);
    float* const factors = a.workspace + plan.row_blocks * kParts * channels;
    float* const shortcut_factors = factors + 2 * channels;
    KernelStatus status =
        queue(sums_kernel<T, V, kActivation, kTwoGradients>, grid, block, kBlockThreads * kParts * V * sizeof(float),
              stream, dy, static_cast<const T*>(a.dy_too), static_cast<const T*>(a.x),
              static_cast<const T*>(a.shortcut), a.mask, a.norm.mean, a.norm.invstd, a.norm.weight, a.norm.bias,
              a.shortcut_norm.mean, a.shape.rows, a.shape.channels, dshortcut, a.workspace);
    if (status.ok()) status = finish_sums(plan, kParts, 1, a.norm, factors);
    if (status.ok() && kPair) status = finish_sums(plan, kParts, 2, a.shortcut_norm, shortcut_factors);
    if (status.ok())
      status = gradient<T, V, kActivation == Activation::kRelu>(grid, block, kAdds<kActivation> ? dshortcut : dy, a.x,
                                                                a.norm, factors, a.dx);
    if constexpr (kPair) {
      if (status.ok())
        status =
            gradient<T, V, false>(grid, block, dshortcut, a.shortcut, a.shortcut_norm, shortcut_factors, dshortcut);
    }
    return status;
  }

  template <class T, int V, Activation kActivation>
  KernelStatus with_gradients() const {
    return a.dy_too == nullptr ? all_passes<T, V, kActivation, false>() : all_passes<T, V, kActivation, true>();
  }

  template <class T, int V>
  KernelStatus operator()() const {
    switch (a.activation) {
      case Activation::kNone:
        return all_passes<T, V, Activation::kNone, false>();
      case Activation::kRelu:
        return all_passes<T, V, Activation::kRelu, false>();
      case Activation::kAddRelu:
        return with_gradients<T, V, Activation::kAddRelu>();
      case Activation::kAddNormRelu:
        return with_gradients<T, V, Activation::kAddNormRelu>();
    }
    return {"an activation that the kernels do not know"};
  }
};

}  // namespace

KernelStatus launch_batch_norm_backward(const BatchNormBackward& a, Stream stream) {
  for (const void* pointer :
       {a.x, a.dy, a.dy_too, a.shortcut, static_cast<const void*>(a.dx), static_cast<const void*>(a.dshortcut)})
    if (!aligned(pointer)) return {"batch norm: a feature map is not aligned to 16 bytes"};
  if (a.dy_too != nullptr && !adds(a.activation)) return {"batch norm: two gradients where no shortcut was added"};
  return with_type(a.shape, QueueBackward{a, stream});
}

}  // namespace imgtrain::kernels
