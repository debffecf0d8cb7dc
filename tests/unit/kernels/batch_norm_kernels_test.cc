// The batch-norm kernels, run on the CPU by tests/support/emulated_cuda, against plain double-precision arithmetic.
#include "tests/unit/kernels/batch_norm_pass.h"

namespace imgtrain::kernels {
namespace {

TEST(BatchNormKernels, AgreeWithDoubleArithmeticForOddShapes) {
  // Rows that are no multiple of anything, fewer than a block looks at, exactly one tile; channels that are no whole
  // vectors, less than a warp of them, more than one block's.
  const std::pair<int64_t, int> shapes[] = {{1, 8},   {2, 3},    {7, 64},   {77, 24},
                                            {256, 8}, {301, 37}, {50, 264}, {1031, 16}};
  for (const auto& [rows, channels] : shapes)
    for (const NumberType type : kTypes)
      for (const Activation activation : kActivations)
        ASSERT_NO_FATAL_FAILURE(expect_double_arithmetic({rows, channels, type, activation}));
}

TEST(BatchNormKernels, AgreeWithDoubleArithmeticForResNetsLastAndFirstLayers) {
  for (const Activation activation : kActivations) {
    expect_double_arithmetic({2 * 7 * 7, 2048, NumberType::kHalf, activation, 0.3, 1.5, 16});
    expect_double_arithmetic({2 * 40 * 40, 64, NumberType::kBFloat16, activation, 0.3, 1.5, 16});
  }
}

TEST(BatchNormKernels, ALargeMeanCostsNoDigitsOfTheVariance) {
  // The square of the mean is 10^8 times the variance: sums of squares in float would have no digit left.
  expect_double_arithmetic({1500, 12, NumberType::kFloat, Activation::kRelu, 1000, 0.1}, 300);
  expect_double_arithmetic({1500, 12, NumberType::kFloat, Activation::kAddRelu, -5000, 1}, 300);
  expect_double_arithmetic({1500, 24, NumberType::kHalf, Activation::kRelu, 1000, 2}, 20);
  expect_double_arithmetic({1500, 24, NumberType::kBFloat16, Activation::kNone, 300, 4}, 20);
}

TEST(BatchNormKernels, ConstantChannelsGiveTheirBiasAndFiniteGradients) {
  Pass pass({130, 16, NumberType::kHalf, Activation::kNone, 7, 0});
  pass.run();
  const Values y = pass.y.values(), bias = pass.bias.values(), dx = pass.dx.values();
  for (size_t i = 0; i < y.size(); ++i) {
    ASSERT_NEAR(y[i], bias[i % 16], 1e-3);
    ASSERT_TRUE(std::isfinite(dx[i]));
  }
}

TEST(BatchNormKernels, GradientsAreThoseOfFiniteDifferences) {
  const Case c{37, 4, NumberType::kFloat, Activation::kAddRelu};
  Pass pass(c);
  pass.run();
  const Values x = pass.x.values(), shortcut = pass.shortcut.values(), weight = pass.weight.values(),
               bias = pass.bias.values(), dy = pass.dy.values(), y = pass.y.values();
  const auto loss = [&](const Values& at_x, const Values& at_shortcut, const Values& at_weight, const Values& at_bias) {
    const Reference moved(c, at_x, at_shortcut, at_weight, at_bias, dy, nullptr);
    double sum = 0;
    for (size_t i = 0; i < dy.size(); ++i) sum += moved.y[i] * dy[i];
    return sum;
  };
  constexpr double kStep = 1e-5;
  const auto check = [&](const Values& got, Values at, size_t which, const char* what) {
    for (size_t i = 0; i < at.size(); ++i) {
      // An element at ReLU's edge has no derivative.
      if (which < 2 && std::fabs(y[i]) < 1e-3 && y[i] != 0) continue;
      const double here = at[i];
      const auto value = [&](double moved) {
        at[i] = moved;
        return loss(which == 0 ? at : x, which == 1 ? at : shortcut, which == 2 ? at : weight, which == 3 ? at : bias);
      };
      const double slope = (value(here + kStep) - value(here - kStep)) / (2 * kStep);
      at[i] = here;
      ASSERT_NEAR(got[i], slope, 2e-4 * (1 + std::fabs(slope))) << what << " " << i;
    }
  };
  check(pass.dx.values(), x, 0, "dx");
  check(pass.dshortcut.values(), shortcut, 1, "dshortcut");
  check(pass.dweight.values(), weight, 2, "dweight");
  check(pass.dbias.values(), bias, 3, "dbias");
}

TEST(BatchNormKernels, GiveTheSameBytesInEveryOrderOfThreadsAndBlocks) {
  for (const auto& [rows, channels] : {std::pair<int64_t, int>{900, 40}, {515, 7}}) {
    for (const NumberType type : kTypes) {
      for (const Activation activation : kActivations) {
        const Case c{rows, channels, type, activation, 0.3, 1.5, 6};
        SCOPED_TRACE(c.name());
        Pass first(c);
        first.run();
        for (const ThreadOrder order : {ThreadOrder::kBackward, ThreadOrder::kShuffled}) {
          emulated_cuda::set_thread_order(order);
          Pass again(c);
          again.run();
          emulated_cuda::set_thread_order(ThreadOrder::kForward);
          ASSERT_EQ(first.results(), again.results());
        }
      }
    }
  }
}

TEST(BatchNormKernels, WorkInPlaceWhereTheHeaderSaysSo) {
  for (const Activation activation : {Activation::kRelu, Activation::kAddRelu}) {
    const Case c{333, 24, NumberType::kBFloat16, activation};
    Pass apart(c), together(c);
    apart.run();
    BatchNormForward forward = together.forward_arguments();
    if (activation == Activation::kAddRelu) forward.y = together.shortcut.data();
    ASSERT_TRUE(emulate_batch_norm_forward(forward, nullptr).ok());
    BatchNormBackward backward = together.backward_arguments();
    (activation == Activation::kAddRelu ? backward.dshortcut : backward.dx) = together.dy.data();
    ASSERT_TRUE(emulate_batch_norm_backward(backward, nullptr).ok());
    together.check_manners();
    if (activation == Activation::kAddRelu) {
      EXPECT_EQ(together.shortcut.bytes(), apart.y.bytes());
      EXPECT_EQ(together.dy.bytes(), apart.dshortcut.bytes());
      EXPECT_EQ(together.dx.bytes(), apart.dx.bytes());
    } else {
      EXPECT_EQ(together.dy.bytes(), apart.dx.bytes());
    }
    EXPECT_EQ(together.dweight.bytes(), apart.dweight.bytes());
  }
}

TEST(BatchNormKernels, MomentumOneLeavesTheStatisticsOfTheBatch) {
  const Case c{90, 16, NumberType::kHalf, Activation::kRelu};
  Pass pass(c);
  for (int j = 0; j < c.channels; ++j) {
    pass.running_mean.set(j, 0);
    pass.running_var.set(j, 0);
  }
  BatchNormForward arguments = pass.forward_arguments();
  arguments.momentum = 1;
  ASSERT_TRUE(emulate_batch_norm_forward(arguments, nullptr).ok());
  const Reference expected(c, pass.x.values(), {}, pass.weight.values(), pass.bias.values(), {}, nullptr);
  EXPECT_EQ(pass.running_mean.bytes(), pass.mean.bytes());
  for (size_t j = 0; j < 16; ++j)
    EXPECT_NEAR(pass.running_var.values()[j], expected.var[j] * 90 / 89, 1e-5 * expected.var[j]);
}

TEST(BatchNormKernels, NanInOneChannelStaysInItAndReachesItsGradients) {
  for (const Activation activation : kActivations) {
    const Case c{64, 16, NumberType::kHalf, activation};
    Pass pass(c);
    pass.x.set(20 * 16 + 5, std::numeric_limits<double>::quiet_NaN());
    pass.run();
    for (int64_t i = 0; i < 64 * 16; ++i) {
      ASSERT_EQ(std::isnan(pass.y.get(i)), i % 16 == 5) << c.name() << " " << i;
      ASSERT_EQ(std::isnan(pass.dx.get(i)), i % 16 == 5) << c.name() << " " << i;
    }
    EXPECT_TRUE(std::isnan(pass.dweight.get(5)));
    // ReLU lets through what NaN stands for, as libtorch's does.
    double sum = 0;
    for (int64_t row = 0; row < 64; ++row) sum += pass.dy.get(row * 16 + 5);
    EXPECT_NEAR(pass.dbias.get(5), sum, 1e-4);
    if (pass.adds()) {
      EXPECT_EQ(pass.dshortcut.get(5), pass.dy.get(5));
    }
  }
}

TEST(BatchNormKernels, MaskHoldsABitForEveryElementThatPassed) {
  for (const int channels : {24, 5}) {
    const Case c{41, channels, NumberType::kHalf, Activation::kAddRelu};
    Pass pass(c);
    pass.forward();
    const int vector = plan_batch_norm(c.shape()).vector;
    EXPECT_EQ(vector, channels == 24 ? 8 : 1);
    EXPECT_EQ(pass.mask.count(), 41 * channels / vector);
    for (int64_t i = 0; i < 41 * channels; ++i)
      ASSERT_EQ((pass.mask.as<uint8_t>()[i / vector] >> (i % vector) & 1) != 0, pass.y.get(i) > 0) << i;
  }
}

TEST(BatchNormKernels, RefuseMemoryThatIsNotAligned) {
  Pass pass({10, 8, NumberType::kHalf, Activation::kAddRelu});
  const uint64_t before = emulated_cuda::launches();
  BatchNormForward forward = pass.forward_arguments();
  forward.shortcut = pass.shortcut.as<char>() + 2;
  EXPECT_THAT(emulate_batch_norm_forward(forward, nullptr).failure, testing::HasSubstr("aligned"));
  BatchNormBackward backward = pass.backward_arguments();
  backward.dx = pass.dx.as<char>() + 8;
  EXPECT_THAT(emulate_batch_norm_backward(backward, nullptr).failure, testing::HasSubstr("aligned"));
  EXPECT_EQ(emulated_cuda::launches(), before);
}

TEST(BatchNormPlan, GivesEveryChannelAThreadAndStaysWithinOneWave) {
  for (const int channels : {1, 3, 8, 31, 64, 100, 256, 1000, 2048, 4096}) {
    for (const int64_t rows : {1, 2, 100, 6272, 12845056}) {
      for (const NumberType type : kTypes) {
        const BatchNormShape shape{rows, channels, type, 132};
        const BatchNormPlan plan = plan_batch_norm(shape);
        EXPECT_EQ(plan.lanes * plan.depth, kBlockThreads);
        EXPECT_EQ(plan.vector * plan.groups, channels);
        EXPECT_GE(plan.lanes * plan.channel_blocks, plan.groups);
        EXPECT_LT(plan.lanes * (plan.channel_blocks - 1), plan.groups);
        EXPECT_GE(plan.row_blocks, 1);
        EXPECT_LE(plan.row_blocks * plan.channel_blocks, std::max(plan.channel_blocks, 3 * 132));
        EXPECT_EQ(mask_bytes(shape), rows * plan.groups);
      }
    }
  }
}

}  // namespace
}  // namespace imgtrain::kernels
