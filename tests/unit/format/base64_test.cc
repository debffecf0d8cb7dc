#include "format/base64.h"

#include <gtest/gtest.h>

namespace imgpack {
namespace {

// RFC 4648, section 10.
TEST(Base64, HasTheVectorsOfItsSpecification) {
  EXPECT_EQ(to_base64(""), "");
  EXPECT_EQ(to_base64("f"), "Zg==");
  EXPECT_EQ(to_base64("fo"), "Zm8=");
  EXPECT_EQ(to_base64("foo"), "Zm9v");
  EXPECT_EQ(to_base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(to_base64("\xff\xfe\xfd"), "//79");
}

TEST(Base64, ReadsBackWhatItWrote) {
  std::string bytes;
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(from_base64(to_base64(bytes)), bytes);
    bytes += static_cast<char>(i * 7);
  }
}

TEST(Base64, AnythingElseIsRefused) {
  for (const char* text :
       {"a", "ab", "abc", "ab=c", "a===", "====", "ab c", "abc\n", "ab-_", "abcd=", "\xff\xff\xff\xff"})
    EXPECT_EQ(from_base64(text), std::nullopt) << text;
  EXPECT_EQ(from_base64(""), "");
  EXPECT_EQ(from_base64("eHk="), "xy");
}

}  // namespace
}  // namespace imgpack
