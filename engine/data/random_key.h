// Randomness without state: every random number of the project follows from a key, never from what was drawn before.
//
//   (seed, purpose, a, b, c)  --Philox4x32-10-->  a stream of numbers of its own
//
// Two calls with the same key give the same numbers on any machine, thread and rank; keys that differ anywhere give
// independent streams. A sample's draws are keyed by (epoch, sample id, repeat), a batch's by (step, group).
//
// The generator is Philox4x32-10: J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as
// easy as 1, 2, 3", SC 2011, doi:10.1145/2063384.2063405. The tests hold it to the authors' known answers.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <utility>

namespace imgtrain::data {

// One application of Philox4x32-10.
std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// What a stream is drawn for. Each purpose has its own, so that a new kind of draw changes no other.
// A number never changes its meaning: a run that is resumed by a later version must see the same crops.
enum class Purpose : uint32_t {
  kBlockOrder = 1,  // a = epoch, b = partition.
  kBlockMix = 2,    // a = epoch, b = partition, c = block within the partition.
  kWindowMix = 3,   // a = epoch, b = partition, c = window within the partition.
  kCrop = 16,       // Samples: a = epoch, b = sample id, c = repeat.
  kFlip = 17,
  kColour = 18,  // Further augmentations of one sample.
  kPolicy = 19,  // AutoAugment, RandAugment, TrivialAugment.
  kErase = 20,   // RandomErasing, Cutout.
  kFilter = 21,  // Which filter resizes.
  kMixup = 32,   // Batches: a = step, b = 0, c = group. Mixup and CutMix, which exclude one another.
  kDropPath = 34,
  kUser = 1u << 16,  // From here on: free for experiments.
};

// A stream of numbers. A value: copying it copies the position within the stream.
class KeyedRandom {
 public:
  KeyedRandom(uint64_t seed, Purpose purpose, uint64_t a, uint64_t b = 0, uint32_t c = 0);

  uint32_t next_u32();
  double uniform();                // [0, 1), 53 bits.
  uint32_t below(uint32_t bound);  // [0, bound), every value equally likely. REQUIRES: bound > 0.

 private:
  std::array<uint32_t, 2> key_;
  std::array<uint32_t, 4> counter_;
  std::array<uint32_t, 4> words_{};
  int used_ = 4;
};

// Fisher-Yates: every order equally likely.
template <typename T>
void shuffle(std::span<T> values, KeyedRandom& random) {
  for (uint32_t i = static_cast<uint32_t>(values.size()); i > 1; --i) {
    using std::swap;
    swap(values[i - 1], values[random.below(i)]);
  }
}

}  // namespace imgtrain::data
