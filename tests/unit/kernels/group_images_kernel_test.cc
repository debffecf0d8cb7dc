// The input kernel, run on the CPU by tests/support/emulated_cuda, against its definition one step after the other.
// tests/unit/train compares it with the tensor operations that it replaces.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "cuda_runtime.h"
#include "tests/support/emulated_cuda/device_memory.h"
#include "tests/support/emulated_cuda/emulated_kernels.h"

namespace imgtrain::kernels {
namespace {

using emulated_cuda::ThreadOrder;

struct Group {
  GroupImages arguments;
  std::vector<uint8_t> bytes;
  std::vector<BlankPair> blanks;
  std::vector<int32_t> partner;
  DeviceMemory images;

  Group(int count, int height, int width, NumberType type) {
    std::mt19937 random(11);
    bytes.resize(static_cast<size_t>(count) * height * width * 3);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
    arguments.count = count;
    arguments.height = height;
    arguments.width = width;
    arguments.type = type;
    const float scale[] = {0.017f, 0.0175f, 0.01743f}, shift[] = {-2.1f, -2.03f, -1.8f};
    for (int c = 0; c < 3; ++c) {
      arguments.scale[c] = scale[c];
      arguments.shift[c] = shift[c];
    }
    for (int i = 0; i < count; ++i) partner.push_back(count - 1 - i);
    arguments.bytes = bytes.data();
  }
  void blank_some() {
    for (int i = 0; i < arguments.count; ++i)
      blanks.push_back({{i, 2, 4, 3}, i % 2 == 0 ? PixelBox{} : PixelBox{0, arguments.height - 1, arguments.width, 1}});
    arguments.blanks = blanks.data();
  }
  void shrink_to(int size) {
    arguments.size = size;
    arguments.step = static_cast<float>(arguments.width) / static_cast<float>(size);
  }
  int side(int full) const { return arguments.size == 0 ? full : arguments.size; }
  int64_t count() const { return int64_t{3} * arguments.count * side(arguments.height) * side(arguments.width); }

  std::vector<double> run() {
    images = DeviceMemory(arguments.type, count());
    arguments.images = images.data();
    arguments.partner = partner.data();
    const KernelStatus status = emulate_group_images(arguments, nullptr);
    EXPECT_TRUE(status.ok()) << status.failure;
    EXPECT_STREQ(emulated_cuda::take_violation(), "");
    EXPECT_TRUE(images.intact());
    return images.values();
  }

  static bool within(const PixelBox& box, int x, int y) {
    return x >= box.x && y >= box.y && x - box.x < box.width && y - box.y < box.height;
  }
  float pixel(int image, int x, int y, int c) const {
    if (arguments.size != 0) {
      x = std::min(arguments.width - 1, x * arguments.width / arguments.size);
      y = std::min(arguments.height - 1, y * arguments.height / arguments.size);
    }
    const auto i = static_cast<size_t>(image);
    if (!blanks.empty() && (within(blanks[i].first, x, y) || within(blanks[i].second, x, y))) return 0;
    const size_t at = ((i * arguments.height + y) * arguments.width + x) * 3 + c;
    return std::fmaf(bytes[at], arguments.scale[c], arguments.shift[c]);
  }
  std::vector<double> expected() const {
    std::vector<double> numbers;
    for (int n = 0; n < arguments.count; ++n)
      for (int y = 0; y < side(arguments.height); ++y)
        for (int x = 0; x < side(arguments.width); ++x)
          for (int c = 0; c < 3; ++c) {
            float value = pixel(n, x, y, c);
            const float other = pixel(partner[static_cast<size_t>(n)], x, y, c);
            if (arguments.mixing == Mixing::kCutmix && within(arguments.box, x, y)) value = other;
            if (arguments.mixing == Mixing::kMixup) {
              // volatile: both products are rounded.
              const volatile float a = value * arguments.share, b = other * arguments.partner_share;
              value = a + b;
            }
            numbers.push_back(value);
          }
    return numbers;
  }
};

TEST(GroupImagesKernel, IsItsDefinitionForEveryTypeMixtureAndWidth) {
  for (const NumberType type : {NumberType::kFloat, NumberType::kHalf, NumberType::kBFloat16}) {
    for (const int width : {16, 13, 8}) {  // Whole vectors of a row, and none.
      for (const Mixing mixing : {Mixing::kNone, Mixing::kMixup, Mixing::kCutmix}) {
        for (const bool blank : {false, true}) {
          for (const int size : {0, 8, 5}) {
            Group group(3, 9, width, type);
            if (size != 0) group = Group(3, width, width, type);
            if (size != 0) group.shrink_to(size);
            if (blank) group.blank_some();
            group.arguments.mixing = mixing;
            group.arguments.share = 0.7f;
            group.arguments.partner_share = 1 - 0.7f;
            group.arguments.box = {1, 2, 4, 6};
            const std::vector<double> expected = group.expected();
            const std::vector<double> got = group.run();
            ASSERT_EQ(got.size(), expected.size());
            DeviceMemory rounded = DeviceMemory::holding(type, expected);
            ASSERT_EQ(group.images.bytes(), rounded.bytes())
                << "type " << static_cast<int>(type) << " width " << width << " mixing " << static_cast<int>(mixing)
                << " blank " << blank << " size " << size;
          }
        }
      }
    }
  }
}

TEST(GroupImagesKernel, GivesTheSameBytesInEveryOrderOfThreadsAndBlocks) {
  Group group(4, 24, 24, NumberType::kHalf);
  group.blank_some();
  group.arguments.mixing = Mixing::kMixup;
  group.arguments.share = 0.6f;
  group.arguments.partner_share = 0.4f;
  const std::vector<double> first = group.run();
  emulated_cuda::set_thread_order(ThreadOrder::kShuffled);
  const std::vector<double> again = group.run();
  emulated_cuda::set_thread_order(ThreadOrder::kForward);
  EXPECT_EQ(first, again);
}

TEST(GroupImagesKernel, RefusesAResultThatIsNotAligned) {
  Group group(1, 8, 8, NumberType::kHalf);
  group.images = DeviceMemory(NumberType::kHalf, group.count());
  group.arguments.images = group.images.as<char>() + 4;
  EXPECT_THAT(emulate_group_images(group.arguments, nullptr).failure, testing::HasSubstr("aligned"));
}

}  // namespace
}  // namespace imgtrain::kernels
