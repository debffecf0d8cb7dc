// Batch norms whose result has two readers, and two of them in one.
#include "tests/unit/kernels/batch_norm_pass.h"

namespace imgtrain::kernels {
namespace {

// dy + dy_too, rounded to the type as whoever added them would store it.
void put_sum(const Case& c, Pass& summed, DeviceMemory& other) {
  const Values a = summed.dy.values(), b = other.values();
  for (int64_t i = 0; i < c.rows * c.channels; ++i)
    summed.dy.set(i, static_cast<float>(a[static_cast<size_t>(i)]) + static_cast<float>(b[static_cast<size_t>(i)]));
}

TEST(BatchNormKernels, TwoGradientsAreTheirSumToTheLastBit) {
  for (const auto& [rows, channels] : {std::pair<int64_t, int>{1, 8}, {77, 24}, {515, 7}, {1031, 16}, {98, 2048}}) {
    for (const NumberType type : kTypes) {
      const Case c{rows, channels, type, Activation::kAddRelu, 0.3, 1.5, 6};
      SCOPED_TRACE(c.name());
      Pass summed(c);
      DeviceMemory other = DeviceMemory::holding(type, drawn(rows * channels, 0, 0.7, 8));
      put_sum(c, summed, other);
      summed.run();
      for (const ThreadOrder order : {ThreadOrder::kForward, ThreadOrder::kShuffled}) {
        Pass apart(c);
        emulated_cuda::set_thread_order(order);
        apart.forward();
        BatchNormBackward backward = apart.backward_arguments();
        backward.dy_too = other.data();
        const KernelStatus status = emulate_batch_norm_backward(backward, nullptr);
        emulated_cuda::set_thread_order(ThreadOrder::kForward);
        ASSERT_TRUE(status.ok()) << status.failure;
        apart.check_manners();
        EXPECT_TRUE(other.intact());
        ASSERT_EQ(apart.results(), summed.results());
      }
    }
  }
}

TEST(BatchNormKernels, TheSecondGradientsMemoryMayBecomeTheShortcuts) {
  const Case c{333, 24, NumberType::kHalf, Activation::kAddRelu};
  Pass apart(c), together(c);
  DeviceMemory one = DeviceMemory::holding(c.type, drawn(c.rows * c.channels, 0, 0.7, 8)),
               two = DeviceMemory::holding(c.type, drawn(c.rows * c.channels, 0, 0.7, 8));
  apart.forward();
  together.forward();
  BatchNormBackward backward = apart.backward_arguments();
  backward.dy_too = one.data();
  ASSERT_TRUE(emulate_batch_norm_backward(backward, nullptr).ok());
  backward = together.backward_arguments();
  backward.dy_too = backward.dshortcut = two.data();
  ASSERT_TRUE(emulate_batch_norm_backward(backward, nullptr).ok());
  EXPECT_EQ(two.bytes(), apart.dshortcut.bytes());
  EXPECT_EQ(together.dx.bytes(), apart.dx.bytes());
  EXPECT_EQ(together.dweight.bytes(), apart.dweight.bytes());
}

// A pass whose shortcut has a batch norm of its own: that one's memory beside the pass's.
struct PairPass : Pass {
  PairPass(const Case& of, bool two_gradients)
      : Pass(of),
        forks(two_gradients),
        dy_too(DeviceMemory::holding(of.type, drawn(of.rows * of.channels, 0, 0.7, 8))),
        shortcut_weight(DeviceMemory::holding(NumberType::kFloat, drawn(of.channels, 0.8, 0.3, 9))),
        shortcut_bias(DeviceMemory::holding(NumberType::kFloat, drawn(of.channels, -0.1, 0.5, 10))),
        shortcut_running_mean(DeviceMemory::holding(NumberType::kFloat, drawn(of.channels, 1, 1, 11))),
        shortcut_running_var(DeviceMemory::holding(NumberType::kFloat, drawn(of.channels, 2, 0.2, 12))),
        shortcut_mean(NumberType::kFloat, of.channels),
        shortcut_invstd(NumberType::kFloat, of.channels),
        shortcut_dweight(NumberType::kFloat, of.channels),
        shortcut_dbias(NumberType::kFloat, of.channels) {}

  // In the second gradient's memory, if `in_place`.
  void run_pair(bool in_place = false) {
    BatchNormForward f = forward_arguments();
    f.shortcut_norm = {shortcut_weight.as<float>(),
                       shortcut_bias.as<float>(),
                       shortcut_mean.as<float>(),
                       shortcut_invstd.as<float>(),
                       nullptr,
                       nullptr};
    if (c.rows > 1) {
      f.shortcut_norm.running_mean = shortcut_running_mean.as<float>();
      f.shortcut_norm.running_var = shortcut_running_var.as<float>();
    }
    KernelStatus status = emulate_batch_norm_forward(f, nullptr);
    ASSERT_TRUE(status.ok()) << status.failure;
    BatchNormBackward b = backward_arguments();
    b.shortcut = shortcut.data();
    if (forks) b.dy_too = dy_too.data();
    b.shortcut_norm = {shortcut_weight.as<float>(), shortcut_bias.as<float>(),    shortcut_mean.as<float>(),
                       shortcut_invstd.as<float>(), shortcut_dweight.as<float>(), shortcut_dbias.as<float>()};
    if (in_place) b.dshortcut = dy_too.data();
    status = emulate_batch_norm_backward(b, nullptr);
    ASSERT_TRUE(status.ok()) << status.failure;
    check_manners();
    for (const DeviceMemory* memory :
         {&dy_too, &shortcut_weight, &shortcut_bias, &shortcut_running_mean, &shortcut_running_var, &shortcut_mean,
          &shortcut_invstd, &shortcut_dweight, &shortcut_dbias})
      EXPECT_TRUE(memory->intact());
  }
  std::vector<std::vector<char>> pair_results(bool in_place = false) {
    std::vector<std::vector<char>> all;
    for (DeviceMemory* memory : {&y, &mean, &invstd, &running_mean, &running_var, &dx, &dweight, &dbias, &mask,
                                 in_place ? &dy_too : &dshortcut, &shortcut_running_mean, &shortcut_running_var,
                                 &shortcut_mean, &shortcut_invstd, &shortcut_dweight, &shortcut_dbias})
      all.push_back(memory->bytes());
    return all;
  }

  bool forks;
  DeviceMemory dy_too, shortcut_weight, shortcut_bias, shortcut_running_mean, shortcut_running_var, shortcut_mean,
      shortcut_invstd, shortcut_dweight, shortcut_dbias;
};

// Two batch norms in double, each by itself; `g`: the gradient of what ReLU was given.
TEST(BatchNormKernels, TwoNormsInOneAgreeWithDoubleArithmetic) {
  for (const auto& [rows, channels] :
       {std::pair<int64_t, int>{2, 3}, {7, 64}, {77, 24}, {301, 37}, {50, 264}, {1031, 16}, {98, 2048}}) {
    for (const NumberType type : kTypes) {
      for (const bool forks : {false, true}) {
        const Case c{rows, channels, type, Activation::kAddNormRelu, 0.3, 1.5, 6};
        SCOPED_TRACE(c.name() + (forks ? ", two gradients" : ""));
        PairPass pass(c, forks);
        const Values old_mean = pass.shortcut_running_mean.values(), old_var = pass.shortcut_running_var.values();
        ASSERT_NO_FATAL_FAILURE(pass.run_pair());
        Case plain = c;
        plain.activation = Activation::kNone;
        Values g = pass.dy.values();
        if (forks) {
          Pass summed(c);
          put_sum(c, summed, pass.dy_too);
          g = summed.dy.values();
        }
        const Values y = pass.y.values();
        for (size_t i = 0; i < g.size(); ++i) g[i] = y[i] > 0 ? g[i] : 0;
        const Reference branch(plain, pass.x.values(), {}, pass.weight.values(), pass.bias.values(), g, &g),
            around(plain, pass.shortcut.values(), {}, pass.shortcut_weight.values(), pass.shortcut_bias.values(), g,
                   &g);
        Values expected_y = branch.y;
        for (size_t i = 0; i < y.size(); ++i) expected_y[i] = std::max(branch.y[i] + around.y[i], 0.0);
        const double rounding = 1.1 * c.rounding(), small = 2e-6 * static_cast<double>(rows);
        expect_close(y, expected_y, rounding, 2e-5, "y");
        // Of two rows a variance may be almost nothing, and its inverse large.
        const double steep = rows < 3 ? 30 : 1;
        expect_close(pass.dx.values(), branch.dx, rounding, steep * 2e-5, "dx");
        expect_close(pass.dshortcut.values(), around.dx, rounding, steep * 2e-5, "dshortcut");
        expect_close(pass.dweight.values(), branch.dweight, 1e-5, steep * small, "dweight");
        expect_close(pass.dbias.values(), branch.dbias, 1e-5, small, "dbias");
        expect_close(pass.shortcut_dweight.values(), around.dweight, 1e-5, steep * small, "the shortcut's dweight");
        expect_close(pass.shortcut_dbias.values(), around.dbias, 1e-5, small, "the shortcut's dbias");
        expect_close(pass.shortcut_mean.values(), around.mean, 1e-6, 2e-6, "the shortcut's mean");
        const double unbiased = static_cast<double>(rows) / static_cast<double>(rows - 1);
        for (size_t j = 0; j < old_mean.size(); ++j) {
          EXPECT_NEAR(pass.shortcut_running_mean.values()[j], 0.9 * old_mean[j] + 0.1 * around.mean[j], 1e-6);
          EXPECT_NEAR(pass.shortcut_running_var.values()[j], 0.9 * old_var[j] + 0.1 * unbiased * around.var[j],
                      1e-5 * (1 + around.var[j]));
        }
      }
    }
  }
}

TEST(BatchNormKernels, TwoNormsInOneGiveTheSameBytesInEveryOrderAndInPlace) {
  for (const auto& [rows, channels] : {std::pair<int64_t, int>{900, 40}, {515, 7}}) {
    for (const NumberType type : kTypes) {
      const Case c{rows, channels, type, Activation::kAddNormRelu, 0.3, 1.5, 6};
      SCOPED_TRACE(c.name());
      PairPass first(c, /*two_gradients=*/true);
      ASSERT_NO_FATAL_FAILURE(first.run_pair());
      for (const ThreadOrder order : {ThreadOrder::kBackward, ThreadOrder::kShuffled}) {
        emulated_cuda::set_thread_order(order);
        PairPass again(c, true), in_place(c, true);
        again.run_pair();
        in_place.run_pair(/*in_place=*/true);
        emulated_cuda::set_thread_order(ThreadOrder::kForward);
        ASSERT_EQ(first.pair_results(), again.pair_results());
        ASSERT_EQ(first.pair_results(), in_place.pair_results(/*in_place=*/true));
      }
    }
  }
}

TEST(BatchNormKernels, TwoGradientsWithoutAShortcutAreRefused) {
  Pass pass({64, 8, NumberType::kHalf, Activation::kRelu});
  pass.forward();
  BatchNormBackward backward = pass.backward_arguments();
  backward.dy_too = pass.shortcut.data();
  EXPECT_STREQ(emulate_batch_norm_backward(backward, nullptr).failure,
               "batch norm: two gradients where no shortcut was added");
}

}  // namespace
}  // namespace imgtrain::kernels
