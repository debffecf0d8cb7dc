#include "engine/train/run/duration.h"

#include <gtest/gtest.h>

#include "format/error.h"

namespace imgtrain {
namespace {

TEST(Duration, EpochsMayBeFractionsAndRoundToTheNearestBatch) {
  EXPECT_EQ(parse_duration("16ep").whole_batches(100), 1600u);
  EXPECT_EQ(parse_duration("28.8ep").whole_batches(625), 18000u);
  EXPECT_EQ(parse_duration("0.5ep").whole_batches(3), 2u);
}

TEST(Duration, BatchesDoNotDependOnTheEpoch) {
  EXPECT_EQ(parse_duration("500ba").whole_batches(7), 500u);
}

TEST(Duration, TextReadsBackTheSame) {
  for (const char* text : {"16ep", "28.8ep", "500ba", "0ep", "0.0625ep"})
    EXPECT_EQ(to_text(parse_duration(text)), text);
}

TEST(Duration, AnythingWithoutItsUnitIsRefusedWithAnExample) {
  for (const char* text : {"", "16", "ep", "16 ep", "16epochs", "-1ep", "nanep", "infba", "1e99ep", "0.5ba", "16ep "}) {
    try {
      parse_duration(text);
      FAIL() << text;
    } catch (const imgpack::Error& error) {
      EXPECT_EQ(error.kind(), imgpack::ErrorKind::kUsage) << text;
      EXPECT_NE(error.message().find("as in 16ep or 500ba"), std::string::npos) << error.message();
    }
  }
}

}  // namespace
}  // namespace imgtrain
