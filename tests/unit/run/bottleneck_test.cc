#include "engine/train/run/bottleneck.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace imgtrain {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

EpochTiming timing(double wait_for_batch, double decode, double wait_for_read = 0) {
  EpochTiming timing;
  timing.seconds = 10;
  timing.images = 1000;
  timing.input_threads = 2;
  timing.stages.wait_for_batch = wait_for_batch;
  timing.stages.decode = decode;
  timing.stages.wait_for_read = wait_for_read;
  timing.stages.bytes_read = 100 << 20;
  return timing;
}

TEST(Bottleneck, LittleWaitingIsComputeBound) {
  EXPECT_THAT(bottleneck_sentence(timing(0.1, 4)),
              AllOf(HasSubstr("compute-bound"), HasSubstr("waited 1 % of the time"), HasSubstr("4.00 ms per image")));
}

TEST(Bottleneck, WaitingForBusyDecodersIsDecodeBoundWithTheThreadsItTakes) {
  // 20 thread-seconds for 1,000 images; the model alone would do them in 5 s: 4 threads.
  EXPECT_THAT(bottleneck_sentence(timing(5, 20)),
              AllOf(HasSubstr("decode-bound"), HasSubstr("waited 50 %"), HasSubstr("4.0 threads needed, 2 present")));
}

TEST(Bottleneck, DecodersWaitingForTheDiskIsReadBoundWithTheRateItTakes) {
  EXPECT_THAT(bottleneck_sentence(timing(5, 2, 4)),
              AllOf(HasSubstr("read-bound"), HasSubstr("the disk gave 10 MiB/s, 20 MiB/s would keep")));
}

TEST(Bottleneck, NothingMeasuredClaimsNothing) {
  EXPECT_EQ(bottleneck_sentence(EpochTiming()), "nothing was measured");
}

}  // namespace
}  // namespace imgtrain
