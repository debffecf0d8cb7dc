#include "format/ingest/decode_cost.h"

#include <gtest/gtest.h>

#include "format/ingest/sample_encoder.h"
#include "tests/support/test_jpegs.h"

namespace imgpack::ingest {
namespace {

using test::make_test_jpeg;
using test::TestColour;

TEST(DecodeCost, JpegThatIsKeptAsItIsCostsNothing) {
  EXPECT_EQ(decode_cost_bytes(make_test_jpeg({.width = 64, .height = 48}), {}), 0u);
}

TEST(DecodeCost, ImageThatIsDecodedCostsByItsPixels) {
  const uint64_t cost = 64 * 48 * 12;
  EXPECT_EQ(decode_cost_bytes(make_test_jpeg({.width = 64, .height = 48, .progressive = true}), {}), cost);
  EXPECT_EQ(decode_cost_bytes(make_test_jpeg({.width = 64, .height = 48, .colour = TestColour::kCmyk}), {}), cost);
  EXPECT_EQ(decode_cost_bytes(make_test_jpeg({.width = 64, .height = 48}), {.resize_max = 32}), cost);
  EXPECT_EQ(decode_cost_bytes(make_test_jpeg({.width = 64, .height = 48}), {.optimise_huffman = true}), cost);
  EXPECT_EQ(decode_cost_bytes(make_test_jpeg({.width = 64, .height = 48, .progressive = true}),
                              {.check = StreamCheck::kHeader}),
            0u);
}

TEST(DecodeCost, PngTellsItsPixelsInItsHeader) {
  const auto png = encode_sample(draw_sample(0, 33, 20, 1), {.encoding = SampleEncoding::kPng});
  EXPECT_EQ(decode_cost_bytes(png, {}), 33u * 20 * 12);
}

std::vector<std::byte> header(std::initializer_list<int> values) {
  std::vector<std::byte> bytes;
  for (int value : values) bytes.push_back(static_cast<std::byte>(value));
  bytes.resize(30);
  return bytes;
}

TEST(DecodeCost, BmpAndWebpTellTheirsToo) {
  // 'BM', 18: width 5, 22: height -7 (top-down).
  auto bmp = header({'B', 'M'});
  bmp[18] = std::byte{5};
  for (size_t i = 22; i < 26; ++i) bmp[i] = std::byte{0xFF};
  bmp[22] = std::byte{0xF9};
  EXPECT_EQ(decode_cost_bytes(bmp, {}), 5u * 7 * 12);
  auto webp = header({'R', 'I', 'F', 'F', 0, 0, 0, 0, 'W', 'E', 'B', 'P', 'V', 'P', '8', 'X'});
  webp[24] = std::byte{9};
  webp[27] = std::byte{3};
  EXPECT_EQ(decode_cost_bytes(webp, {}), 10u * 4 * 12);
}

TEST(DecodeCost, WhatNobodyKnowsCostsItsOwnSize) {
  EXPECT_EQ(decode_cost_bytes(std::vector<std::byte>(1234), {}), 1234u);
  EXPECT_EQ(decode_cost_bytes({}, {}), 0u);
}

}  // namespace
}  // namespace imgpack::ingest
