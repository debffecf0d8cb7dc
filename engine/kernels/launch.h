// How the CUDA kernels of this folder are asked for and how that ends. No CUDA header is needed to call them.
//
//   engine/model, engine/train --plain pointers, sizes, stream--> launchers (batch_norm.h, group_images.h) --> kernels
#pragma once

struct CUstream_st;  // What cudaStream_t points to.

namespace imgtrain::kernels {

using Stream = CUstream_st*;

// Types of the numbers in images and feature maps. Statistics and parameters are always float.
enum class NumberType { kFloat, kHalf, kBFloat16 };

inline int bytes_of(NumberType type) {
  return type == NumberType::kFloat ? 4 : 2;
}

// Every vector access is of so many bytes; pointers are aligned to it.
inline constexpr int kVectorBytes = 16;

// Outcome of queueing work: kernels themselves fail later, as everything on a stream does.
struct KernelStatus {
  const char* failure = nullptr;  // nullptr: queued. Otherwise what went wrong; the text lives for ever.
  bool ok() const { return failure == nullptr; }
};

}  // namespace imgtrain::kernels
