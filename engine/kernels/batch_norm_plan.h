// How a feature map is shared out among the threads of the batch-norm kernels. Pure; follows from shape, type and the
// number of multiprocessors alone, so that the same device adds in the same order every time.
//
//          channels -->                       a block: lanes x depth threads, 256 together
//        +--------+--------+-- …              a thread: `vector` neighbouring channels (16 bytes where the channels
//   rows | block  | block  |                            allow it), every (depth * row_blocks)-th row
//    |   | (0, 0) | (1, 0) |                  a block row: leaves one partial result per channel
//    v   +--------+--------+
//        | (0, 1) | (1, 1) |
//        +--------+--------+-- …              rows = images x height x width of a channels_last feature map
#pragma once

#include <cstdint>

#include "engine/kernels/launch.h"

namespace imgtrain::kernels {

// REQUIRES: rows >= 1, channels >= 1.
struct BatchNormShape {
  int64_t rows = 0;
  int channels = 0;
  NumberType type = NumberType::kFloat;
  int multiprocessors = 1;  // Of the device.
};

struct BatchNormPlan {
  int vector = 1;  // Channels of a thread.
  int groups = 1;  // Vectors of a row.
  int lanes = 1;   // Threads beside one another in a block; a power of two, 32 at most.
  int depth = 1;   // Rows that a block looks at together; a power of two.
  int channel_blocks = 1, row_blocks = 1;
};

inline constexpr int kBlockThreads = 256;
inline constexpr int kMaxLanes = 32;  // A warp reads 512 bytes of a row.
// As many as the registers of the kernels let reside together (__launch_bounds__ holds the compiler to it): one wave,
// each thread with four or more 16-byte loads on the way, 48 KiB a multiprocessor.
inline constexpr int kBlocksPerMultiprocessor = 3;
inline constexpr int kRowsAtOnce = 4;
// Fewer would make more partial results than they save time.
inline constexpr int kMinRowsPerThread = 2 * kRowsAtOnce;

BatchNormPlan plan_batch_norm(const BatchNormShape& shape);

// Bytes of the ReLU mask of an add + ReLU: a bit for each element, a byte for each vector of a row.
int64_t mask_bytes(const BatchNormShape& shape);

// Floats of scratch memory that one forward or backward pass needs.
int64_t workspace_floats(const BatchNormShape& shape);

}  // namespace imgtrain::kernels
