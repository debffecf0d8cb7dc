#include "format/ingest/plain_text.h"

#include <gtest/gtest.h>

namespace imgpack::ingest {
namespace {

TEST(PlainText, LowerCaseTouchesAsciiLettersAlone) {
  EXPECT_EQ(lower_case("TrAiN_01.JPEG"), "train_01.jpeg");
  EXPECT_EQ(lower_case("\xC3\x84@[`{"), "\xC3\x84@[`{");
}

TEST(PlainText, WholeNumberTakesDigitsAndNothingElse) {
  EXPECT_EQ(whole_number("0"), 0u);
  EXPECT_EQ(whole_number("007"), 7u);
  EXPECT_EQ(whole_number("18446744073709551615"), 18446744073709551615u);
  for (const char* text : {"", "+1", "-1", " 1", "1 ", "1.0", "0x1", "18446744073709551616", "one"})
    EXPECT_EQ(whole_number(text), std::nullopt) << "'" << text << "'";
}

TEST(PlainText, WholeNumberKeepsToItsLimit) {
  EXPECT_EQ(whole_number("12", 12), 12u);
  EXPECT_EQ(whole_number("13", 12), std::nullopt);
}

TEST(PlainText, TrimmedTakesBlanksFromBothEnds) {
  EXPECT_EQ(trimmed(" \t a b\r\n"), "a b");
  EXPECT_EQ(trimmed("  "), "");
}

}  // namespace
}  // namespace imgpack::ingest
