#include "engine/data/random_key.h"

namespace imgtrain::data {
namespace {

constexpr uint32_t kMultiplier0 = 0xD2511F53, kMultiplier1 = 0xCD9E8D57;
constexpr uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;

constexpr uint32_t low(uint64_t value) {
  return static_cast<uint32_t>(value);
}
constexpr uint32_t high(uint64_t value) {
  return static_cast<uint32_t>(value >> 32);
}

}  // namespace

std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{kMultiplier0} * counter[0];
    const uint64_t product1 = uint64_t{kMultiplier1} * counter[2];
    counter = {high(product1) ^ counter[1] ^ key[0], low(product1), high(product0) ^ counter[3] ^ key[1],
               low(product0)};
    key[0] += kWeyl0;
    key[1] += kWeyl1;
  }
  return counter;
}

// A key of more than 192 bits goes in two steps: purpose, a and c choose the key under which b counts.
KeyedRandom::KeyedRandom(uint64_t seed, Purpose purpose, uint64_t a, uint64_t b, uint32_t c)
    : counter_{low(b), high(b), 0, 0} {
  const auto derived = philox4x32({static_cast<uint32_t>(purpose), c, low(a), high(a)}, {low(seed), high(seed)});
  key_ = {derived[0], derived[1]};
  counter_[3] = derived[2];
}

uint32_t KeyedRandom::next_u32() {
  if (used_ == 4) {
    words_ = philox4x32(counter_, key_);
    ++counter_[2];
    used_ = 0;
  }
  return words_[static_cast<size_t>(used_++)];
}

double KeyedRandom::uniform() {
  const uint64_t top = next_u32(), bottom = next_u32();
  return static_cast<double>((top << 21) ^ (bottom >> 11)) * 0x1.0p-53;
}

// D. Lemire, "Fast random integer generation in an interval", ACM TOMACS 29 (2019): a multiplication, and a rejection
// so rare that the loop almost never turns.
uint32_t KeyedRandom::below(uint32_t bound) {
  uint64_t product = uint64_t{next_u32()} * bound;
  if (low(product) < bound) {
    const uint32_t threshold = -bound % bound;
    while (low(product) < threshold) product = uint64_t{next_u32()} * bound;
  }
  return high(product);
}

}  // namespace imgtrain::data
