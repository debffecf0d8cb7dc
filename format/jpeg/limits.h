// Bounds that every decoder of this library keeps, whatever the bytes claim.
#pragma once

#include <cstdint>

namespace imgpack::jpeg {

// Pixels of one image: what Pillow refuses as a decompression bomb by default.
inline constexpr uint64_t kMaxPixels = 178'956'970;

}  // namespace imgpack::jpeg
