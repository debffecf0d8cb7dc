#include "engine/train/run/class_report.h"

#include <gtest/gtest.h>

namespace imgtrain {
namespace {

TEST(ClassCsv, QuotesNamesAndLeavesAccuraciesOfEmptyClassesOut) {
  EXPECT_EQ(class_csv({{"n01440764", "tench, Tinca tinca"}, {"n2", "a \"b\""}, {"n3", ""}},
                      {{4, 1, 3}, {0, 0, 0}, {2, 2, 2}}),
            "class,name,images,top1,top5,accuracy,accuracy_top5\n"
            "n01440764,\"tench, Tinca tinca\",4,1,3,25,75\n"
            "n2,\"a \"\"b\"\"\",0,0,0,,\n"
            "n3,,2,2,2,100,100\n");
}

TEST(RealTotals, ImagesWithoutLabelsDoNotCount) {
  EXPECT_EQ((RealTotals{0, 0}).percent(), 0);
  EXPECT_EQ((RealTotals{8, 6}).percent(), 75);
}

}  // namespace
}  // namespace imgtrain
