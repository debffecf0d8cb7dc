#include "tools/cli/units.h"

#include <gtest/gtest.h>

#include <limits>

namespace imgpack::cli {
namespace {

TEST(Units, SizesInBinaryAndDecimalUnits) {
  EXPECT_EQ(parse_bytes("65536"), 65536u);
  EXPECT_EQ(parse_bytes("512MiB"), 512ull << 20);
  EXPECT_EQ(parse_bytes("512m"), 512ull << 20);
  EXPECT_EQ(parse_bytes("1.5 GiB"), 3ull << 29);
  EXPECT_EQ(parse_bytes("100MB"), 100'000'000u);
  EXPECT_EQ(parse_bytes("0"), 0u);
}

TEST(Units, WhatIsNotASizeIsRefused) {
  for (const char* text : {"", "M", "-1", "1 2", "1.0000001K", "12Q", "1e99", "99999999T", "nan", "inf"}) {
    EXPECT_EQ(parse_bytes(text), std::nullopt) << text;
  }
}

TEST(Units, BytesForPeople) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(1024), "1 KiB");
  EXPECT_EQ(format_bytes(1536), "1.5 KiB");
  EXPECT_EQ(format_bytes((1 << 20) - 1), "1 MiB");
  EXPECT_EQ(format_bytes(138ull << 30), "138 GiB");
}

TEST(Units, CountsAndTimesForPeople) {
  EXPECT_EQ(format_count(0), "0");
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_count(1281167), "1,281,167");
  EXPECT_EQ(format_seconds(8.44), "8.4 s");
  EXPECT_EQ(format_seconds(59.99), "1:00");
  EXPECT_EQ(format_seconds(187), "3:07");
  EXPECT_EQ(format_seconds(7533), "2:05:33");
  EXPECT_EQ(format_seconds(353133), "4d 02:05");
  EXPECT_EQ(format_seconds(std::numeric_limits<double>::infinity()), "?");
}

}  // namespace
}  // namespace imgpack::cli
