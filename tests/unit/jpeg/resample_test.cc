#include "format/jpeg/resample.h"

#include <gmock/gmock.h>
#include <sys/mman.h>
#include <unistd.h>

#include <numeric>
#include <span>

#include "format/checksum.h"
#include "format/error.h"
#include "format/jpeg/simd_target.h"
#include "tests/support/test_jpegs.h"

namespace imgpack::jpeg {
namespace {

constexpr int kChannels = 3;

struct Picture {
  int width, height;
  std::vector<uint8_t> rgb;
};

Picture picture(int width, int height, uint32_t seed = 1) {
  Picture p{width, height,
            test::test_picture(static_cast<uint32_t>(width), static_cast<uint32_t>(height), kChannels, true, seed)};
  p.rgb.resize(p.rgb.size() + kResampleReadSlack);
  return p;
}

SampleWindow whole(const Picture& p, bool flip = false) {
  return {0, 0, p.width, p.height, 0.0, 0.0, static_cast<double>(p.width), static_cast<double>(p.height), flip};
}

std::vector<uint8_t> resized(const Picture& p, const SampleWindow& window, int width, int height, Filter filter,
                             int rows_at_once = 5) {
  Resampler resampler;
  resampler.begin(window, width, height, filter);
  const size_t stride = static_cast<size_t>(p.width) * kChannels;
  for (int y = resampler.first_row(); y < resampler.end_row(); y += rows_at_once) {
    const uint8_t* first =
        p.rgb.data() + stride * static_cast<size_t>(y) + static_cast<size_t>(resampler.first_column()) * kChannels;
    resampler.push_rows(first, stride, std::min(rows_at_once, resampler.end_row() - y));
  }
  std::vector<uint8_t> out(static_cast<size_t>(width) * static_cast<size_t>(height) * kChannels);
  resampler.finish(out.data());
  return out;
}

TEST(ResampleTaps, WeightsOfEachOutputSumToOneWithinRounding) {
  for (Filter filter : {Filter::kBilinear, Filter::kBicubic, Filter::kLanczos}) {
    for (int inputs : {1, 2, 7, 224, 1000}) {
      for (int outputs : {1, 3, 224, 500}) {
        const ResampleTaps taps = make_taps(inputs, 0, inputs, outputs, filter, false);
        for (int o = 0; o < outputs; o++) {
          const auto at = taps.weight.begin() + static_cast<ptrdiff_t>(o) * taps.stride;
          const int64_t sum = std::accumulate(at, at + taps.stride, int64_t{0});
          EXPECT_NEAR(static_cast<double>(sum), 1 << kWeightBits, taps.stride);
          EXPECT_GE(taps.first[static_cast<size_t>(o)], 0);
          EXPECT_LE(taps.first[static_cast<size_t>(o)] + taps.count[static_cast<size_t>(o)], inputs);
        }
      }
    }
  }
}

TEST(ResampleTaps, SameSizeCopies) {
  const ResampleTaps taps = make_taps(10, 0, 10, 10, Filter::kLanczos, false);
  for (int o = 0; o < 10; o++) {
    for (int j = 0; j < taps.count[static_cast<size_t>(o)]; j++) {
      const int input = taps.first[static_cast<size_t>(o)] + j;
      EXPECT_EQ(taps.weight[static_cast<size_t>(o * taps.stride + j)], input == o ? 1 << kWeightBits : 0);
    }
  }
}

TEST(ResampleTaps, KnownWeightsOfHalvingBilinearly) {
  const ResampleTaps taps = make_taps(8, 0, 8, 4, Filter::kBilinear, false);
  EXPECT_EQ(taps.first[1], 1);
  EXPECT_EQ(taps.count[1], 4);
  const int32_t eighth = 1 << (kWeightBits - 3);
  EXPECT_THAT(std::vector<int32_t>(taps.weight.begin() + taps.stride, taps.weight.begin() + taps.stride + 4),
              testing::ElementsAre(eighth, 3 * eighth, 3 * eighth, eighth));
}

TEST(Resampler, WholeImageAtItsOwnSizeIsUnchanged) {
  const Picture p = picture(37, 23);
  for (Filter filter : {Filter::kBilinear, Filter::kBicubic, Filter::kLanczos}) {
    const auto out = resized(p, whole(p), 37, 23, filter);
    EXPECT_TRUE(std::equal(out.begin(), out.end(), p.rgb.begin()));
  }
}

TEST(Resampler, FlipMirrorsTheOutput) {
  const Picture p = picture(61, 40);
  const auto plain = resized(p, whole(p), 33, 21, Filter::kBilinear),
             flipped = resized(p, whole(p, true), 33, 21, Filter::kBilinear);
  for (size_t y = 0; y < 21; y++) {
    for (size_t x = 0; x < 33; x++) {
      for (size_t c = 0; c < 3; c++) ASSERT_EQ(plain[(y * 33 + x) * 3 + c], flipped[(y * 33 + 32 - x) * 3 + c]);
    }
  }
}

TEST(Resampler, RowsMayComeInAnyPortions) {
  const Picture p = picture(90, 77);
  const auto expected = resized(p, whole(p), 31, 29, Filter::kBicubic, 1);
  for (int portion : {2, 3, 4, 7, 16, 77}) EXPECT_EQ(resized(p, whole(p), 31, 29, Filter::kBicubic, portion), expected);
}

TEST(Resampler, RegionWithinTheImageReadsOnlyTheRowsAndColumnsItNeeds) {
  const Picture p = picture(200, 100);
  SampleWindow window = whole(p);
  window.x0 = 50, window.x1 = 150, window.y0 = 20, window.y1 = 60;
  Resampler resampler;
  resampler.begin(window, 50, 20, Filter::kBilinear);
  EXPECT_EQ(resampler.first_row(), 19);
  EXPECT_EQ(resampler.end_row(), 61);
  EXPECT_EQ(resampler.first_column(), 49);
  EXPECT_EQ(resampler.end_column(), 151);
}

TEST(Resampler, ConstantColourStaysConstantWhateverTheScale) {
  for (uint8_t value : {0, 1, 127, 254, 255}) {
    Picture p = picture(119, 64);
    std::fill(p.rgb.begin(), p.rgb.end(), value);
    for (int side : {1, 7, 64, 300}) {
      for (Filter filter : {Filter::kBilinear, Filter::kBicubic, Filter::kLanczos}) {
        EXPECT_THAT(resized(p, whole(p), side, side, filter), testing::Each(value)) << side;
      }
    }
  }
}

// Rows that end, slack included, where the process has no memory any more.
TEST(Resampler, ReadsNoFurtherThanTheSlackBehindARow) {
  struct Case {
    int use_width;
    double from, to;
    int out_width;
  };
  // The last ones: far fewer pixels at the edge than in the middle, and a box in the corner of what may be used.
  const Case cases[] = {{7, 0, 7, 3}, {500, 0, 500, 224}, {5000, 0, 5000, 16}, {900, 0, 80, 1}};
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  for (const Case& c : cases) {
    for (Filter filter : {Filter::kBilinear, Filter::kBicubic, Filter::kLanczos}) {
      for (const std::string& target : simd_targets()) {
        const ForcedSimdTarget forced(target);
        Resampler resampler;
        resampler.begin({0, 0, c.use_width, 1, c.from, 0, c.to, 1, false}, c.out_width, 1, filter);
        const size_t row = static_cast<size_t>(resampler.end_column() - resampler.first_column()) * 3;
        const size_t bytes = (row + kResampleReadSlack + page - 1) / page * page;
        void* memory = mmap(nullptr, bytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        ASSERT_NE(memory, MAP_FAILED);
        ASSERT_EQ(mprotect(static_cast<char*>(memory) + bytes, page, PROT_NONE), 0);
        uint8_t* const pixels = static_cast<uint8_t*>(memory) + bytes - kResampleReadSlack - row;
        std::fill_n(pixels, row, uint8_t{200});
        std::vector<uint8_t> out(static_cast<size_t>(c.out_width) * 3);
        resampler.push_rows(pixels, row, 1);
        resampler.finish(out.data());
        EXPECT_THAT(out, testing::Each(uint8_t{200})) << target << " " << c.use_width;
        munmap(memory, bytes + page);
      }
    }
  }
}

TEST(Resampler, EverySimdTargetGivesTheSamePixels) {
  struct Case {
    int in_width, in_height, out_width, out_height;
  };
  const Case cases[] = {{1, 1, 1, 1},     {3, 5, 2, 2},         {5, 3, 17, 9},
                        {64, 64, 10, 1},  {257, 131, 224, 224}, {500, 375, 224, 224},
                        {33, 400, 5, 64}, {1200, 40, 21, 13},   {640, 480, 225, 7}};
#if defined(__x86_64__)
  ASSERT_GE(simd_targets().size(), 2u) << "only one target: nothing is compared";
#endif
  ChecksumStream pixels;
  for (const Case& c : cases) {
    const Picture p = picture(c.in_width, c.in_height, 9);
    for (Filter filter : {Filter::kBilinear, Filter::kBicubic, Filter::kLanczos}) {
      std::vector<uint8_t> expected;
      for (const std::string& target : simd_targets()) {
        const ForcedSimdTarget forced(target);
        const auto out = resized(p, whole(p, true), c.out_width, c.out_height, filter);
        if (expected.empty()) expected = out;
        EXPECT_EQ(out, expected) << target << " " << c.in_width << "x" << c.in_height;
      }
      pixels.update(std::as_bytes(std::span(expected)));
    }
  }
  EXPECT_EQ(to_hex(pixels.digest()), "24283c893cff9d07") << "other kinds of CPU give other pixels";
}

TEST(ForcedSimdTarget, RefusesATargetThatIsNotThere) {
  try {
    const ForcedSimdTarget forced("ABACUS");
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_THAT(error.what(), testing::HasSubstr("found ABACUS"));
  }
}

}  // namespace
}  // namespace imgpack::jpeg
