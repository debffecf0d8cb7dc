// Little-endian integers in byte spans, by the fields of layout.h. No bounds are checked here: callers size the span
// first (REQUIRES: field.offset + field.bytes <= span size).
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "format/layout.h"

namespace imgpack {

static_assert(std::endian::native == std::endian::little, "the format is little-endian and read in place");

inline uint64_t load(std::span<const std::byte> bytes, layout::Field field) {
  uint64_t value = 0;
  std::memcpy(&value, bytes.data() + field.offset, field.bytes);
  return value;
}

inline void store(std::span<std::byte> bytes, layout::Field field, uint64_t value) {
  std::memcpy(bytes.data() + field.offset, &value, field.bytes);
}

inline uint64_t load_u64(const std::byte* at) {
  uint64_t value = 0;
  std::memcpy(&value, at, sizeof value);
  return value;
}

inline void store_u64(std::byte* at, uint64_t value) {
  std::memcpy(at, &value, sizeof value);
}

inline std::span<const std::byte> as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

inline std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace imgpack
