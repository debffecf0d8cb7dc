// Gradient exchange between real processes on this machine: Gloo over loopback, started with posix_spawn.
#include "engine/train/data_parallel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/model/weights.h"
#include "tests/support/expect_error.h"
#include "tests/unit/train/rank_processes.h"

namespace imgtrain {
namespace {

using imgpack::ErrorKind;
using testing::HasSubstr;
using torch::Tensor;

class DataParallelTest : public testing::Test, protected RankProcesses {
 protected:
  DataParallelTest() : RankProcesses({TEST_BIN_DIR "/test_model_program", "ranks"}) {}
};

// Sums in another order, in double precision (see model_program.cc), three steps long. Wrong statistics, weights or
// gradients of one sample would show in the second digit.
constexpr double kTolerance = 1e-5;

TEST_F(DataParallelTest, TwoThreeAndFourRanksTrainTheModelOfOneProcess) {
  // Three groups, the last one smaller: two ranks get unequal shares, and of four ranks one has no samples at all.
  const std::vector<std::string> arguments = {"--batch", "11", "--group", "4"};
  run_well(1, arguments, "alone");
  const TensorFile alone = result("alone", 0);
  for (const int world : {2, 3, 4}) {
    const std::string name = "world" + std::to_string(world);
    run_well(world, arguments, name);
    const TensorFile first = result(name, 0);
    for (int rank = 1; rank < world; ++rank) EXPECT_EQ(difference(first, result(name, rank)), 0) << world << " ranks";
    EXPECT_LT(difference(alone, first), kTolerance) << world << " ranks";
  }
}

TEST_F(DataParallelTest, SynchronizedBatchNormMakesTheBatchOneGroup) {
  run_well(1, {"--batch", "12", "--group", "12"}, "alone");
  run_well(2, {"--batch", "12", "--group", "4", "--synchronize"}, "two");  // 4 and 8 samples.
  EXPECT_LT(difference(result("alone", 0), result("two", 0)), kTolerance);
  EXPECT_EQ(difference(result("two", 0), result("two", 1)), 0);
}

TEST_F(DataParallelTest, Bfloat16GradientsTravelInTwoBytesEach) {
  run_well(2, {"--bf16", "--steps", "2"}, "half");
  const TensorFile half = result("half", 0);
  EXPECT_EQ(difference(half, result("half", 1)), 0);
  constexpr double kNumbers = 11'181'642;  // Parameters of a ResNet-18 with 10 classes; buckets add some padding.
  EXPECT_NEAR(std::stod(half.metadata.at("bytes_per_step")), 2 * kNumbers, 0.0005 * kNumbers);
}

TEST_F(DataParallelTest, ADeadRankEndsTheOthersWithAMessageLongBeforeTheTimeout) {
  const auto begin = std::chrono::steady_clock::now();
  const auto ended = run(3, {"--die", "1", "--timeout", "120"}, "dead");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(60));
  EXPECT_EQ(ended[1].status, -SIGKILL);
  for (const int rank : {0, 2}) {
    EXPECT_EQ(ended[static_cast<size_t>(rank)].status, 1);
    EXPECT_THAT(ended[static_cast<size_t>(rank)].errors, HasSubstr("rank " + std::to_string(rank) + " of 3: exchange"));
  }
}

TEST_F(DataParallelTest, ARankThatNeverComesIsNamed) {
  const auto ended = run(3, {"--timeout", "4"}, "absent", {2});
  for (const int rank : {0, 1})
    EXPECT_THAT(ended[static_cast<size_t>(rank)].errors,
                HasSubstr("rank " + std::to_string(rank) + " of 3: not all ranks came within 4 s; missing: rank 2"));
}

TEST(GradientSync, APortInUseIsAnErrorWithAHint) {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  socklen_t length = sizeof address;
  ASSERT_EQ(::bind(socket, reinterpret_cast<sockaddr*>(&address), length), 0);
  ASSERT_EQ(::listen(socket, 1), 0);
  ASSERT_EQ(::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &length), 0);
  Launch launch;
  launch.world = 2;
  launch.master_port = ntohs(address.sin_port);
  GradientSyncOptions options;
  options.timeout = std::chrono::seconds(5);
  EXPECT_ERROR(make_gradient_sync(launch, torch::kCPU, options), ErrorKind::kIo, "MASTER_PORT");
  ::close(socket);
}

TEST(GradientSync, AloneEveryParameterHasAGradientWithItsStridesAndSeveralBackwardsAddUp) {
  ResNetOptions model_options;
  model_options.depth = 18;
  model_options.num_classes = 10;
  ResNet model(model_options);
  to_channels_last(*model);
  const auto sync = make_gradient_sync(Launch(), torch::kCPU);
  sync->attach(model->parameters());
  const auto expect_strides = [&] {
    for (const Tensor& p : model->parameters()) {
      ASSERT_TRUE(p.grad().defined());
      EXPECT_EQ(p.grad().strides(), p.strides());
    }
  };
  expect_strides();
  const Tensor images = torch::randn({2, 3, 32, 32});
  // Backward that reaches the stem alone: the others' gradients are zeros.
  sync->zero_gradients();
  model->children()[0]->as<torch::nn::Conv2d>()->forward(images).sum().backward();
  sync->finish();
  expect_strides();
  const Tensor once = model->parameters()[0].grad().clone();
  EXPECT_GT(once.abs().sum().item<double>(), 0);
  EXPECT_EQ(model->parameters().back().grad().abs().sum().item<double>(), 0);
  sync->zero_gradients();
  for (int i = 0; i < 2; ++i) model->children()[0]->as<torch::nn::Conv2d>()->forward(images).sum().backward();
  sync->finish();
  EXPECT_TRUE(torch::allclose(model->parameters()[0].grad(), 2 * once));
  sync->zero_gradients();
  model->forward(images).sum().backward();
  sync->finish();
  expect_strides();
}

}  // namespace
}  // namespace imgtrain
