#include "engine/kernels/device_code.h"
#include "engine/kernels/group_images.h"

namespace imgtrain::kernels {
namespace {

constexpr int kThreads = 128;
constexpr int kMaxBlocksAcross = 1 << 16;  // Of a grid, each taking rows in turn.

__device__ inline bool holds(const PixelBox& box, int x, int y) {
  return x >= box.x && x < box.x + box.width && y >= box.y && y < box.y + box.height;
}

// A row of the result is `side` x 3 numbers; a thread makes V neighbours of it, so that a warp writes 512 bytes in a
// row. Blocks walk over the rows of all images, threads over a row's vectors.
template <class T, int V>
__global__ void group_images_kernel(GroupImages a, int out_height, int out_width) {
  const int row_numbers = 3 * out_width;
  const int64_t rows = static_cast<int64_t>(a.count) * out_height;
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const int image = static_cast<int>(row / out_height), y = static_cast<int>(row % out_height);
    const int partner = a.mixing == Mixing::kNone ? image : a.partner[image];
    const int source_y = a.size == 0 ? y : min(static_cast<int>(floorf(static_cast<float>(y) * a.step)), a.height - 1);
    const BlankPair none{};
    const BlankPair blank = a.blanks == nullptr ? none : a.blanks[image];
    const BlankPair partner_blank = a.blanks == nullptr ? none : a.blanks[partner];
    const int64_t image_bytes = static_cast<int64_t>(a.height) * a.width * 3;
    const uint8_t* const own = a.bytes + image * image_bytes + static_cast<int64_t>(source_y) * a.width * 3;
    const uint8_t* const other = a.bytes + partner * image_bytes + static_cast<int64_t>(source_y) * a.width * 3;
    T* const out = static_cast<T*>(a.images) + row * row_numbers;
    for (int begin = static_cast<int>(threadIdx.x) * V; begin < row_numbers; begin += kThreads * V) {
      Pack<T, V> pack;
#pragma unroll
      for (int i = 0; i < V; ++i) {
        const int x = (begin + i) / 3, channel = (begin + i) - 3 * x;
        const int source_x =
            a.size == 0 ? x : min(static_cast<int>(floorf(static_cast<float>(x) * a.step)), a.width - 1);
        const auto value = [&](const uint8_t* bytes, const BlankPair& boxes) {
          if (holds(boxes.first, source_x, source_y) || holds(boxes.second, source_x, source_y)) return 0.0f;
          const auto byte = static_cast<float>(bytes[3 * source_x + channel]);
          return __fmaf_rn(byte, a.scale[channel], a.shift[channel]);
        };
        float result;
        if (a.mixing == Mixing::kMixup) {
          result =
              __fadd_rn(__fmul_rn(value(own, blank), a.share), __fmul_rn(value(other, partner_blank), a.partner_share));
        } else if (a.mixing == Mixing::kCutmix && holds(a.box, x, y)) {
          result = value(other, partner_blank);
        } else {
          result = value(own, blank);
        }
        pack.element[i] = from_float<T>(result);
      }
      store<T, V>(out + begin, pack);
    }
  }
}

template <class T>
KernelStatus queue_group_images(const GroupImages& a, Stream stream) {
  const int height = a.size == 0 ? a.height : a.size, width = a.size == 0 ? a.width : a.size;
  const int64_t rows = static_cast<int64_t>(a.count) * height;
  const dim3 grid(static_cast<unsigned>(rows < kMaxBlocksAcross ? rows : kMaxBlocksAcross));
  return 3 * width % kPerVector<T> == 0
             ? queue(group_images_kernel<T, kPerVector<T>>, grid, dim3(kThreads), 0, stream, a, height, width)
             : queue(group_images_kernel<T, 1>, grid, dim3(kThreads), 0, stream, a, height, width);
}

}  // namespace

KernelStatus launch_group_images(const GroupImages& a, Stream stream) {
  if (reinterpret_cast<uintptr_t>(a.images) % kVectorBytes != 0)
    return {"images: the result is not aligned to 16 bytes"};
  switch (a.type) {
    case NumberType::kFloat:
      return queue_group_images<float>(a, stream);
    case NumberType::kHalf:
      return queue_group_images<__half>(a, stream);
    case NumberType::kBFloat16:
      return queue_group_images<__nv_bfloat16>(a, stream);
  }
  return {"a number type that the kernels do not know"};
}

}  // namespace imgtrain::kernels
