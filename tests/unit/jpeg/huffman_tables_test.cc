#include "format/jpeg/huffman_tables.h"

#include <gtest/gtest.h>

#include <memory>
#include <numeric>
#include <vector>

namespace imgpack::jpeg {
namespace {

// Symbols 0, 1, 2, … with so many codes of 1, 2, 3, … bits.
bool builds(std::vector<uint8_t> counts, TableClass table_class = TableClass::kDc) {
  counts.resize(kMaxCodeBits);
  std::vector<uint8_t> symbols(std::accumulate(counts.begin(), counts.end(), size_t{0}));
  std::iota(symbols.begin(), symbols.end(), uint8_t{0});
  return std::make_unique<CodeTable>()->build(counts, symbols, table_class);
}

TEST(CodeTable, TakesPrefixCodesThatLeaveTheCodeOfOnesFree) {
  EXPECT_TRUE(builds({}));
  EXPECT_TRUE(builds({1}));
  EXPECT_TRUE(builds({0, 3, 1, 1}));
}

TEST(CodeTable, RefusesTheCodeOfOnesAsLibjpegDoes) {
  EXPECT_FALSE(builds({2}));
  EXPECT_FALSE(builds({0, 4}));
  EXPECT_FALSE(builds({0, 3, 1, 2}));
}

TEST(CodeTable, RefusesMoreCodesThanBitPatternsAndSizesThatBaselineDoesNotHave) {
  EXPECT_FALSE(builds({3}));
  EXPECT_FALSE(builds({1, 3}));
  EXPECT_FALSE(builds({0, 0, 0, 14})) << "symbol 13 as the size of a DC difference";
}

}  // namespace
}  // namespace imgpack::jpeg
