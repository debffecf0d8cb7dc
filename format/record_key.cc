// Everything that follows from a record's name: its id, its place in the order, and what a name may be.
#include <xxhash.h>

#include <string>

#include "format/checksum.h"
#include "format/layout.h"
#include "format/record.h"
#include "format/utf8.h"

namespace imgpack {

uint64_t sample_id(std::string_view split, std::string_view name) {
  std::string text;
  text.reserve(split.size() + 1 + name.size());
  text.append(split).append(1, '\0').append(name);
  return checksum(text);
}

uint64_t order_key(uint64_t seed, uint64_t sample_id) {
  return XXH3_64bits_withSeed(&sample_id, sizeof sample_id, seed);
}

uint64_t order_key(uint64_t seed, std::string_view split, std::string_view name) {
  return order_key(seed, sample_id(split, name));
}

uint32_t shard_of_key(uint64_t key, uint32_t shard_count) {
  // The upper 32 bits of the 96-bit product, without a 128-bit type.
  const uint64_t high = (key >> 32) * shard_count, low = (key & 0xffffffff) * shard_count;
  return static_cast<uint32_t>((high + (low >> 32)) >> 32);
}

bool is_canonical_name(std::string_view name) {
  if (name.empty() || name.size() > layout::kMaxNameBytes) return false;
  size_t component = 0;
  for (size_t i = 0; i <= name.size();) {
    if (i == name.size() || name[i] == '/') {
      const std::string_view part = name.substr(component, i - component);
      if (part.empty() || part == "." || part == "..") return false;
      component = ++i;
      continue;
    }
    const auto c = static_cast<unsigned char>(name[i]);
    if (c < 0x20 || c == 0x7f) return false;
    const size_t length = utf8_sequence(name.substr(i));
    if (length == 0) return false;
    i += length;
  }
  return true;
}

}  // namespace imgpack
