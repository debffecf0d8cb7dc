#include "engine/train/run/memory_limit.h"

#include <gtest/gtest.h>

#include <vector>

namespace imgtrain {
namespace {

TEST(MemoryOfBatch, GrowsInProportionAboveWhatIsFixed) {
  const BatchMemory a{8, 1800}, b{16, 2600};
  EXPECT_EQ(memory_of_batch(a, b, 32), 4200u);
  EXPECT_EQ(largest_batch(a, b, 4200, 1000), 32);
  EXPECT_EQ(largest_batch(a, b, 4199, 1000), 31);
  EXPECT_EQ(largest_batch(a, b, 1u << 30, 1000), 1000);
  EXPECT_EQ(largest_batch(a, b, 999, 1000), 0);
}

TEST(PeakMemory, IsKnownHere) {
  const uint64_t before = peak_memory();
  std::vector<char> block(size_t{64} << 20, 1);
  [[maybe_unused]] char* volatile address = block.data();  // A compiler may leave out memory that nobody else knows.
  EXPECT_GE(peak_memory(), before);
  EXPECT_GT(peak_memory(), uint64_t{64} << 20);
  EXPECT_EQ(block.back(), 1);
}

}  // namespace
}  // namespace imgtrain
