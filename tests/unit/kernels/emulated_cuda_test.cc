// That the emulation would notice what it is there to notice.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "cuda_bf16.h"
#include "cuda_fp16.h"
#include "cuda_runtime.h"

namespace imgtrain::kernels {
extern float imgtrain_block_memory[];
}

namespace emulated_cuda {
namespace {

using testing::HasSubstr;
using testing::StrEq;

cudaError_t launch(unsigned blocks, unsigned threads, size_t floats, const std::function<void()>& thread) {
  return run_grid({dim3(blocks), dim3(threads), floats * sizeof(float), nullptr}, thread);
}

float* shared() {
  return imgtrain::kernels::imgtrain_block_memory;
}

// Every thread reads what its neighbour wrote; without a barrier in between that depends on who comes first.
std::vector<float> neighbours(bool with_barrier) {
  std::vector<float> out(2 * 64);
  EXPECT_EQ(launch(2, 64, 64,
                   [&] {
                     shared()[threadIdx.x] = static_cast<float>(100 * blockIdx.x + threadIdx.x);
                     if (with_barrier) __syncthreads();
                     out[64 * blockIdx.x + threadIdx.x] = shared()[(threadIdx.x + 1) % 64];
                   }),
            cudaSuccess);
  EXPECT_THAT(take_violation(), StrEq(""));
  return out;
}

TEST(EmulatedCuda, BarrierSeparatesWhatIsBeforeItFromWhatIsAfter) {
  const std::vector<float> out = neighbours(true);
  for (unsigned i = 0; i < 128; ++i) EXPECT_EQ(out[i], static_cast<float>(i / 64 * 100 + (i + 1) % 64));
}

TEST(EmulatedCuda, AMissingBarrierShowsAsADifferenceBetweenOrders) {
  const std::vector<float> forward = neighbours(false);
  set_thread_order(ThreadOrder::kBackward);
  const std::vector<float> backward = neighbours(false);
  set_thread_order(ThreadOrder::kForward);
  const auto differs = [&](size_t i) { return std::bit_cast<int>(forward[i]) != std::bit_cast<int>(backward[i]); };
  EXPECT_TRUE(differs(0) && differs(30));
}

TEST(EmulatedCuda, SharedMemoryHoldsNanWhenABlockBegins) {
  std::vector<float> seen;
  launch(3, 1, 4, [&] {
    seen.push_back(shared()[3]);
    shared()[3] = 1;
  });
  ASSERT_EQ(seen.size(), 3u);
  for (const float value : seen) EXPECT_TRUE(std::isnan(value));
  EXPECT_THAT(take_violation(), StrEq(""));
}

TEST(EmulatedCuda, AWritePastTheSharedMemoryAskedForIsAViolation) {
  launch(1, 8, 8, [] { shared()[threadIdx.x + 1] = 0; });
  EXPECT_THAT(take_violation(), HasSubstr("past what the launch asked for"));
  EXPECT_THAT(take_violation(), StrEq(""));
}

TEST(EmulatedCuda, ABarrierThatSomeThreadsNeverReachIsAViolation) {
  launch(1, 8, 0, [] {
    if (threadIdx.x < 5) __syncthreads();
  });
  EXPECT_THAT(take_violation(), HasSubstr("barrier"));
}

TEST(EmulatedCuda, RefusesGridsThatAGpuWouldRefuse) {
  const auto nothing = [] {};
  EXPECT_EQ(launch(1, 1025, 0, nothing), cudaErrorInvalidValue);
  EXPECT_EQ(launch(0, 32, 0, nothing), cudaErrorInvalidValue);
  EXPECT_EQ(launch(1, 32, 12289, nothing), cudaErrorInvalidValue);
  EXPECT_EQ(run_grid({dim3(1, 65536), dim3(1), 0, nullptr}, nothing), cudaErrorInvalidValue);
}

TEST(EmulatedCuda, EveryHalfAndBfloat16SurvivesTheWayThroughFloat) {
  for (unsigned bits = 0; bits < 65536; ++bits) {
    const auto pattern = static_cast<uint16_t>(bits);
    const float half = __half2float({pattern}), brain = __bfloat162float({pattern});
    if (std::isnan(half)) {
      EXPECT_TRUE(std::isnan(__half2float(__float2half_rn(half))));
    } else {
      ASSERT_EQ(__float2half_rn(half).bits, pattern);
    }
    if (std::isnan(brain)) {
      EXPECT_TRUE(std::isnan(__bfloat162float(__float2bfloat16_rn(brain))));
    } else {
      ASSERT_EQ(__float2bfloat16_rn(brain).bits, pattern);
    }
  }
}

TEST(EmulatedCuda, RoundsToTheNearestAndTiesToEven) {
  const float one_half_unit = std::ldexp(1.0f, -11), brain_half_unit = std::ldexp(1.0f, -8);
  EXPECT_EQ(__half2float(__float2half_rn(1 + one_half_unit)), 1);
  EXPECT_EQ(__half2float(__float2half_rn(1 + 3 * one_half_unit)), 1 + 4 * one_half_unit);
  EXPECT_EQ(__half2float(__float2half_rn(std::nextafter(1 + one_half_unit, 2.0f))), 1 + 2 * one_half_unit);
  EXPECT_EQ(__bfloat162float(__float2bfloat16_rn(1 + brain_half_unit)), 1);
  EXPECT_EQ(__bfloat162float(__float2bfloat16_rn(1 + 3 * brain_half_unit)), 1 + 4 * brain_half_unit);
  EXPECT_EQ(__half2float(__float2half_rn(65519.9f)), 65504);
  EXPECT_EQ(__half2float(__float2half_rn(65520.0f)), std::numeric_limits<float>::infinity());
  EXPECT_EQ(__float2half_rn(std::ldexp(1.0f, -25)).bits, 0);
  EXPECT_EQ(__float2half_rn(std::ldexp(1.5f, -25)).bits, 1);
  EXPECT_EQ(__float2half_rn(-0.0f).bits, 0x8000);
  EXPECT_EQ(__half2float({0x3555}), 0.333251953125f);
}

}  // namespace
}  // namespace emulated_cuda
