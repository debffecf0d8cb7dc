#include "engine/kernels/batch_norm_device.h"

namespace imgtrain::kernels {
namespace {

// Count, mean and sum of squared deviations of some values; two of them merge into those of both together.
struct Moments {
  float count = 0, mean = 0, squares = 0;
};

__device__ inline Moments merged(const Moments& a, const Moments& b) {
  if (a.count == 0) return b;
  Moments both;
  both.count = a.count + b.count;
  const float share = b.count / both.count;
  const float difference = b.mean - a.mean;
  both.mean = a.mean + difference * share;
  both.squares = a.squares + b.squares + difference * difference * (a.count * share);
  return both;
}

// The moments of every channel over the rows of each block row.
//   partial: row_blocks x {means, squares} x channels; counts: row_blocks
template <class T, int V>
__global__ void __launch_bounds__(kBlockThreads, kBlocksPerMultiprocessor)
    statistics_kernel(const T* __restrict__ x, int64_t rows, int channels, float* __restrict__ partial,
                      float* __restrict__ counts) {
  const Place<V> place(channels);
  float mean[V], squares[V];
#pragma unroll
  for (int i = 0; i < V; ++i) mean[i] = squares[i] = 0.0f;
  float count = 0;
  if (place.has_channels()) {
    int64_t row = place.row;
    // Four rows at once: four loads on the way, one division for all channels, and exact deviations among the four.
    for (; row + 3 * place.stride < rows; row += kRowsAtOnce * place.stride) {
      Pack<T, V> pack[kRowsAtOnce];
#pragma unroll
      for (int k = 0; k < kRowsAtOnce; ++k) pack[k] = load<T, V>(x + place.at(row + k * place.stride));
      const float share = kRowsAtOnce / (count + kRowsAtOnce);
      const float weight = count * share;
#pragma unroll
      for (int i = 0; i < V; ++i) {
        const float a = to_float(pack[0].element[i]), b = to_float(pack[1].element[i]),
                    c = to_float(pack[2].element[i]), d = to_float(pack[3].element[i]);
        const float centre = 0.25f * ((a + b) + (c + d));
        const float da = a - centre, db = b - centre, dc = c - centre, dd = d - centre;
        const float difference = centre - mean[i];
        mean[i] += difference * share;
        squares[i] += (da * da + db * db) + (dc * dc + dd * dd) + difference * difference * weight;
      }
      count += kRowsAtOnce;
    }
    for (; row < rows; row += place.stride) {
      const Pack<T, V> pack = load<T, V>(x + place.at(row));
      count += 1;
      const float share = 1 / count;
#pragma unroll
      for (int i = 0; i < V; ++i) {
        const float value = to_float(pack.element[i]);
        const float difference = value - mean[i];
        mean[i] += difference * share;
        squares[i] += difference * (value - mean[i]);
      }
    }
  }

  // [channel of the vector][thread], so that neighbours use neighbouring banks.
  const unsigned threads = blockDim.x * blockDim.y, own = threadIdx.y * blockDim.x + threadIdx.x;
  float* const shared_mean = block_memory();
  float* const shared_squares = shared_mean + V * threads;
  float* const shared_count = shared_squares + V * threads;
#pragma unroll
  for (int i = 0; i < V; ++i) {
    shared_mean[i * threads + own] = mean[i];
    shared_squares[i * threads + own] = squares[i];
  }
  shared_count[own] = count;
  merge_columns([&](unsigned to, unsigned from) {
    const float to_count = shared_count[to], from_count = shared_count[from];
#pragma unroll
    for (int i = 0; i < V; ++i) {
      const Moments both = merged({to_count, shared_mean[i * threads + to], shared_squares[i * threads + to]},
                                  {from_count, shared_mean[i * threads + from], shared_squares[i * threads + from]});
      shared_mean[i * threads + to] = both.mean;
      shared_squares[i * threads + to] = both.squares;
    }
    shared_count[to] = to_count + from_count;
  });
  // A first row has merged its own column itself: no barrier is needed before it reads.
  if (threadIdx.y != 0 || !place.has_channels()) return;
  float* const means = partial + static_cast<int64_t>(blockIdx.y) * 2 * channels + place.channel;
#pragma unroll
  for (int i = 0; i < V; ++i) {
    means[i] = shared_mean[i * threads + own];
    means[channels + i] = shared_squares[i * threads + own];
  }
  if (place.channel == 0) counts[blockIdx.y] = shared_count[own];
}

// All block rows' moments of each channel become its statistics. Block: kMergeLanes x kMergeDepth.
__global__ void finish_statistics_kernel(const float* __restrict__ partial, const float* __restrict__ counts,
                                         int row_blocks, int channels, float eps, float momentum,
                                         float* __restrict__ mean, float* __restrict__ invstd, float* running_mean,
                                         float* running_var) {
  const int channel = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  Moments moments;
  if (channel < channels) {
    for (int b = static_cast<int>(threadIdx.y); b < row_blocks; b += static_cast<int>(blockDim.y)) {
      const float* const means = partial + static_cast<int64_t>(b) * 2 * channels + channel;
      moments = merged(moments, {counts[b], means[0], means[channels]});
    }
  }
  const unsigned threads = blockDim.x * blockDim.y, own = threadIdx.y * blockDim.x + threadIdx.x;
  float* const shared = block_memory();
  const auto put = [&](unsigned at, const Moments& m) {
    shared[at] = m.count;
    shared[threads + at] = m.mean;
    shared[2 * threads + at] = m.squares;
  };
  const auto get = [&](unsigned at) { return Moments{shared[at], shared[threads + at], shared[2 * threads + at]}; };
  put(own, moments);
  merge_columns([&](unsigned to, unsigned from) { put(to, merged(get(to), get(from))); });
  if (threadIdx.y != 0 || channel >= channels) return;
  const Moments all = get(own);
  const float variance = all.squares / all.count;
  mean[channel] = all.mean;
  invstd[channel] = 1.0f / sqrtf(variance + eps);
  if (running_mean == nullptr) return;
  running_mean[channel] = (1 - momentum) * running_mean[channel] + momentum * all.mean;
  running_var[channel] = (1 - momentum) * running_var[channel] + momentum * (all.squares / (all.count - 1));
}

// What is added needs registers of its own: fewer rows on their way then.
template <Activation kActivation>
inline constexpr int kNormaliseRows = kActivation == Activation::kAddNormRelu ? kRowsAtOnce / 2 : kRowsAtOnce;

// Of one batch norm, for a kernel.
struct Applied {
  const float *mean, *invstd, *weight, *bias;
};

// With kAddRelu `shortcut` and `y` may be the same memory, element by element.
template <class T, int V, Activation kActivation>
__global__ void __launch_bounds__(kBlockThreads, kBlocksPerMultiprocessor)
    normalise_kernel(const T* __restrict__ x, const T* shortcut, Applied norm, Applied shortcut_norm, int64_t rows,
                     int channels, T* y, uint8_t* __restrict__ mask) {
  const Place<V> place(channels);
  if (!place.has_channels()) return;
  const Normalisation<V> normalised(norm.mean, norm.invstd, norm.weight, norm.bias, place.channel);
  struct Row {
    Pack<T, V> in, added;
  };
  const auto load_row = [&](int64_t row) {
    Row r;
    r.in = load<T, V>(x + place.at(row));
    if constexpr (kAdds<kActivation>) r.added = load<T, V>(shortcut + place.at(row));
    return r;
  };
  const auto finish_with = [&](const auto& added_value) {
    const auto finish = [&](int64_t row, const Row& r) {
      Pack<T, V> out;
      [[maybe_unused]] unsigned bits = 0;
#pragma unroll
      for (int i = 0; i < V; ++i) {
        float value = normalised(to_float(r.in.element[i]), i);
        if constexpr (kAdds<kActivation>) value = __fadd_rn(value, added_value(to_float(r.added.element[i]), i));
        if constexpr (kActivation != Activation::kNone) value = relu(value);
        out.element[i] = from_float<T>(value);
        if constexpr (kAdds<kActivation>) bits |= (passes(to_float(out.element[i])) ? 1u : 0u) << i;
      }
      store<T, V>(y + place.at(row), out);
      if constexpr (kAdds<kActivation>) mask[place.mask_at(row)] = static_cast<uint8_t>(bits);
    };
    for_each_row<kNormaliseRows<kActivation>>(place, rows, load_row, finish);
  };
  if constexpr (kActivation == Activation::kAddNormRelu) {
    const Normalisation<V> shortcut_normalised(shortcut_norm.mean, shortcut_norm.invstd, shortcut_norm.weight,
                                               shortcut_norm.bias, place.channel);
    finish_with(shortcut_normalised);
  } else {
    finish_with([](float value, int) { return value; });
  }
}

struct QueueForward {
  const BatchNormForward& a;
  Stream stream;

  static Applied applied(const NormForward& norm) { return {norm.mean, norm.invstd, norm.weight, norm.bias}; }

  template <class T, int V, Activation kActivation>
  KernelStatus normalise(dim3 grid, dim3 block) const {
    return queue(normalise_kernel<T, V, kActivation>, grid, block, 0, stream, static_cast<const T*>(a.x),
                 static_cast<const T*>(a.shortcut), applied(a.norm), applied(a.shortcut_norm), a.shape.rows,
                 a.shape.channels, static_cast<T*>(a.y), a.mask);
  }

  template <class T, int V>
  KernelStatus statistics(const BatchNormPlan& plan, dim3 grid, dim3 block, const void* x,
                          const NormForward& norm) const {
    const int64_t channels = a.shape.channels;
    float* const partial = a.workspace;
    float* const counts = partial + plan.row_blocks * 2 * channels;
    const KernelStatus status =
        queue(statistics_kernel<T, V>, grid, block, kBlockThreads * (2 * V + 1) * sizeof(float), stream,
              static_cast<const T*>(x), a.shape.rows, a.shape.channels, partial, counts);
    if (!status.ok()) return status;
    return queue(finish_statistics_kernel, dim3(static_cast<unsigned>((channels + kMergeLanes - 1) / kMergeLanes)),
                 dim3(kMergeLanes, kMergeDepth), kMergeLanes * kMergeDepth * 3 * sizeof(float), stream, partial, counts,
                 plan.row_blocks, a.shape.channels, a.eps, a.momentum, norm.mean, norm.invstd, norm.running_mean,
                 norm.running_var);
  }

  template <class T, int V>
  KernelStatus operator()() const {
    const BatchNormPlan plan = plan_batch_norm(a.shape);
    const dim3 grid(static_cast<unsigned>(plan.channel_blocks), static_cast<unsigned>(plan.row_blocks));
    const dim3 block(static_cast<unsigned>(plan.lanes), static_cast<unsigned>(plan.depth));
    KernelStatus status = statistics<T, V>(plan, grid, block, a.x, a.norm);
    if (!status.ok()) return status;
    if (a.activation == Activation::kAddNormRelu) {
      // In the stream's order: the workspace is free again.
      status = statistics<T, V>(plan, grid, block, a.shortcut, a.shortcut_norm);
      if (!status.ok()) return status;
    }
    switch (a.activation) {
      case Activation::kNone:
        return normalise<T, V, Activation::kNone>(grid, block);
      case Activation::kRelu:
        return normalise<T, V, Activation::kRelu>(grid, block);
      case Activation::kAddRelu:
        return normalise<T, V, Activation::kAddRelu>(grid, block);
      case Activation::kAddNormRelu:
        return normalise<T, V, Activation::kAddNormRelu>(grid, block);
    }
    return {"an activation that the kernels do not know"};
  }
};

}  // namespace

KernelStatus launch_batch_norm_forward(const BatchNormForward& a, Stream stream) {
  for (const void* pointer : {a.x, a.shortcut, static_cast<const void*>(a.y)})
    if (!aligned(pointer)) return {"batch norm: a feature map is not aligned to 16 bytes"};
  return with_type(a.shape, QueueForward{a, stream});
}

}  // namespace imgtrain::kernels
