// Batch norm, the addition of a shortcut and ReLU in one go, for training on channels_last feature maps.
//
//   forward    x --statistics--> partial --merge--> mean, invstd, running statistics
//              x [, shortcut] --normalise [+ add] [+ ReLU]--> y [, mask]                3 or 4 passes over the map
//   backward   dy, x --sums--> partial --merge--> dweight, dbias
//              dy, x --> dx                                                             5 passes
//   with a shortcut   dy [, dy_too], x, mask --sums, add, ReLU--> partial, dshortcut
//                     dshortcut, x --> dx                                               6 or 7 passes
//   a shortcut with a batch norm of its own: both in one go                             5, and 10 or 11 instead of 12
//
// Unfused, libtorch makes 5 or 8 passes forward and 8 backward (each an element read or written), and 3 more to add the
// two gradients of a map that the next block's branch and its shortcut both read (dy_too). Statistics and all
// arithmetic are float, merged pairwise as counts, means and sums of squared deviations (T. F. Chan, G. H. Golub, R. J.
// LeVeque, 1979), so that a large mean costs no digits. Nothing is added by atomics: same input, same bytes.
//
// ReLU's mask is recomputed from x where nothing was added, and kept as a bit an element where a shortcut was. As in
// libtorch, NaN passes through ReLU and its gradient passes through NaN.
#pragma once

#include <cstdint>

#include "engine/kernels/batch_norm_plan.h"
#include "engine/kernels/launch.h"

namespace imgtrain::kernels {

enum class Activation {
  kNone,
  kRelu,
  kAddRelu,     // relu(norm(x) + shortcut)
  kAddNormRelu  // relu(norm(x) + norm(shortcut)), each with parameters and statistics of its own.
};
constexpr bool adds(Activation activation) {
  return activation == Activation::kAddRelu || activation == Activation::kAddNormRelu;
}

// A batch norm's parameters and statistics, `channels` of each.
struct NormForward {
  const float* weight = nullptr;
  const float* bias = nullptr;
  float* mean = nullptr;          // Out, for backward.
  float* invstd = nullptr;        // Out, for backward.
  float* running_mean = nullptr;  // In and out: (1 - momentum) * old + momentum * new. Both nullptr: not wanted.
  float* running_var = nullptr;   // The same, of the unbiased variance.
};
struct NormBackward {
  const float* weight = nullptr;
  const float* bias = nullptr;
  const float* mean = nullptr;  // What forward left.
  const float* invstd = nullptr;
  float* dweight = nullptr;  // Out.
  float* dbias = nullptr;    // Out.
};

// Feature maps are `rows` x `channels` of shape.type, without gaps. Every pointer is aligned to kVectorBytes.
struct BatchNormForward {
  BatchNormShape shape;
  Activation activation = Activation::kNone;
  float eps = 1e-5f;
  float momentum = 0.1f;
  const void* x = nullptr;
  NormForward norm;
  const void* shortcut = nullptr;  // Where one is added.
  NormForward shortcut_norm;       // kAddNormRelu only.
  void* y = nullptr;               // Out. With kAddRelu it may be `shortcut`'s memory; else backward needs both maps.
  uint8_t* mask = nullptr;         // Out, where a shortcut is added: mask_bytes(shape).
  float* workspace = nullptr;      // workspace_floats(shape)
};

struct BatchNormBackward {
  BatchNormShape shape;
  Activation activation = Activation::kNone;
  const void* dy = nullptr;
  const void* dy_too = nullptr;  // Another gradient of y, to be added to the first, where a shortcut is; nullptr: none.
  const void* x = nullptr;
  NormBackward norm;
  const void* shortcut = nullptr;  // kAddNormRelu only, as is what belongs to it.
  NormBackward shortcut_norm;
  const uint8_t* mask = nullptr;  // Where a shortcut is added.
  void* dx = nullptr;             // Out. May be dy's memory where there is no shortcut.
  void* dshortcut = nullptr;      // Out, where a shortcut is added. May be dy's or dy_too's memory.
  float* workspace = nullptr;
};

// Both queue their kernels on `stream` and wait for nothing. REQUIRES: 1 <= rows, 1 <= channels <= 65536.
struct BatchNormLaunchers {
  KernelStatus (*forward)(const BatchNormForward&, Stream stream);
  KernelStatus (*backward)(const BatchNormBackward&, Stream stream);
};

// Those for CUDA; the program is built without them where no nvcc was found (IMGTRAIN_WITH_CUDA_KERNELS).
KernelStatus launch_batch_norm_forward(const BatchNormForward& arguments, Stream stream);
KernelStatus launch_batch_norm_backward(const BatchNormBackward& arguments, Stream stream);

}  // namespace imgtrain::kernels
