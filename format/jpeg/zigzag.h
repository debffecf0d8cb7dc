// The order in which a block's coefficients are coded.
#pragma once

#include <cstdint>

#include "format/jpeg/huffman_tables.h"

namespace imgpack::jpeg {

// Where the coefficient with a given zigzag number lies in an 8x8 block, row by row.
inline constexpr uint8_t kNaturalOrder[kBlockCoefficients] = {
    0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,  12, 19, 26, 33, 40, 48,
    41, 34, 27, 20, 13, 6,  7,  14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23,
    30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

// The same in the block mirrored at its diagonal.
constexpr int transposed(int natural) {
  return (natural & 7) * 8 + (natural >> 3);
}

}  // namespace imgpack::jpeg
