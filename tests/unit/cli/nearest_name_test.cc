#include "format/nearest_name.h"

#include <gtest/gtest.h>

namespace imgpack {
namespace {

const std::vector<std::string> kVerbs = {"build", "plan", "verify", "inspect", "ls"};

TEST(NearestName, OneSlipIsFound) {
  EXPECT_EQ(nearest_name("biuld", kVerbs), "build");
  EXPECT_EQ(nearest_name("verfy", kVerbs), "verify");
  EXPECT_EQ(nearest_name("plann", kVerbs), "plan");
  EXPECT_EQ(nearest_name("inspekt", kVerbs), "inspect");
  EXPECT_EQ(nearest_name("la", kVerbs), "ls");
}

TEST(NearestName, SomethingElseIsNot) {
  EXPECT_EQ(nearest_name("train", kVerbs), std::nullopt);
  EXPECT_EQ(nearest_name("xy", kVerbs), std::nullopt);
  EXPECT_EQ(nearest_name("", kVerbs), std::nullopt);
  EXPECT_EQ(nearest_name(std::string(1000, 'b'), kVerbs), std::nullopt);
}

TEST(NearestName, DidYouMeanIsReadyToAppend) {
  EXPECT_EQ(did_you_mean("biuld", kVerbs), ". Did you mean 'build'?");
  EXPECT_EQ(did_you_mean("train", kVerbs), "");
}

}  // namespace
}  // namespace imgpack
