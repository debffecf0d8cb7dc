// The batch-norm kernels, run on the CPU by tests/support/emulated_cuda, against plain double-precision arithmetic.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "cuda_runtime.h"
#include "tests/support/emulated_cuda/device_memory.h"
#include "tests/support/emulated_cuda/emulated_kernels.h"

namespace imgtrain::kernels {
namespace {

using emulated_cuda::ThreadOrder;
using Values = std::vector<double>;

struct Case {
  int64_t rows = 1;
  int channels = 1;
  NumberType type = NumberType::kFloat;
  Activation activation = Activation::kNone;
  double mean = 0.3, deviation = 1.5;  // Of x.
  int multiprocessors = 2;

  std::string name() const {
    const char* const types[] = {"float", "half", "bfloat16"};
    const char* const activations[] = {"none", "relu", "add + relu", "add norm + relu"};
    return std::to_string(rows) + " x " + std::to_string(channels) + " " + types[static_cast<int>(type)] + ", " +
           activations[static_cast<int>(activation)] + ", mean " + std::to_string(mean);
  }
  BatchNormShape shape() const { return {rows, channels, type, multiprocessors}; }
  // Half a unit in the last place of 1.
  double rounding() const {
    return type == NumberType::kFloat ? std::ldexp(1, -24) : std::ldexp(1, type == NumberType::kHalf ? -11 : -8);
  }
};

Values drawn(int64_t count, double mean, double deviation, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(mean, deviation);
  Values values(static_cast<size_t>(count));
  for (double& value : values) value = normal(random);
  return values;
}

// One training pass there and back, with all of its memory.
struct Pass {
  explicit Pass(const Case& of)
      : c(of),
        x(DeviceMemory::holding(of.type, drawn(of.rows * of.channels, of.mean, of.deviation, 1))),
        shortcut(DeviceMemory::holding(of.type, drawn(of.rows * of.channels, 0.1, 1, 2))),
        dy(DeviceMemory::holding(of.type, drawn(of.rows * of.channels, 0.02, 1, 3))),
        weight(DeviceMemory::holding(NumberType::kFloat, drawn(of.channels, 1, 0.4, 4))),
        bias(DeviceMemory::holding(NumberType::kFloat, drawn(of.channels, 0.1, 0.5, 5))),
        running_mean(DeviceMemory::holding(NumberType::kFloat, drawn(of.channels, 0, 1, 6))),
        running_var(DeviceMemory::holding(NumberType::kFloat, drawn(of.channels, 3, 0.2, 7))),
        y(of.type, of.rows * of.channels),
        dx(of.type, of.rows * of.channels),
        dshortcut(of.type, of.rows * of.channels),
        mean(NumberType::kFloat, of.channels),
        invstd(NumberType::kFloat, of.channels),
        dweight(NumberType::kFloat, of.channels),
        dbias(NumberType::kFloat, of.channels),
        mask(DeviceMemory::of_bytes(mask_bytes(of.shape()))),
        workspace(NumberType::kFloat, workspace_floats(of.shape())),
        backward_workspace(NumberType::kFloat, workspace_floats(of.shape())) {}

  bool adds() const { return kernels::adds(c.activation); }

  BatchNormForward forward_arguments() {
    BatchNormForward a;
    a.shape = c.shape();
    a.activation = c.activation;
    a.eps = 1e-5f;
    a.momentum = 0.1f;
    a.x = x.data();
    a.norm.weight = weight.as<float>();
    a.norm.bias = bias.as<float>();
    a.y = y.data();
    a.norm.mean = mean.as<float>();
    a.norm.invstd = invstd.as<float>();
    if (c.rows > 1) {
      a.norm.running_mean = running_mean.as<float>();
      a.norm.running_var = running_var.as<float>();
    }
    if (adds()) {
      a.shortcut = shortcut.data();
      a.mask = mask.as<uint8_t>();
    }
    a.workspace = workspace.as<float>();
    return a;
  }
  BatchNormBackward backward_arguments() {
    BatchNormBackward a;
    a.shape = c.shape();
    a.activation = c.activation;
    a.dy = dy.data();
    a.x = x.data();
    a.norm.weight = weight.as<float>();
    a.norm.bias = bias.as<float>();
    a.norm.mean = mean.as<float>();
    a.norm.invstd = invstd.as<float>();
    a.dx = dx.data();
    if (adds()) {
      a.mask = mask.as<uint8_t>();
      a.dshortcut = dshortcut.data();
    }
    a.norm.dweight = dweight.as<float>();
    a.norm.dbias = dbias.as<float>();
    a.workspace = backward_workspace.as<float>();
    return a;
  }

  void run() {
    forward();
    const KernelStatus status = emulate_batch_norm_backward(backward_arguments(), nullptr);
    ASSERT_TRUE(status.ok()) << status.failure;
    check_manners();
  }
  void forward() {
    const KernelStatus status = emulate_batch_norm_forward(forward_arguments(), nullptr);
    ASSERT_TRUE(status.ok()) << status.failure;
  }
  void check_manners() {
    EXPECT_STREQ(emulated_cuda::take_violation(), "");
    for (const DeviceMemory* memory :
         {&x, &shortcut, &dy, &weight, &bias, &running_mean, &running_var, &y, &dx, &dshortcut, &mean, &invstd,
          &dweight, &dbias, &mask, &workspace, &backward_workspace})
      EXPECT_TRUE(memory->intact());
  }
  std::vector<std::vector<char>> results() {
    std::vector<std::vector<char>> all;
    for (DeviceMemory* memory : {&y, &mean, &invstd, &running_mean, &running_var, &dx, &dweight, &dbias})
      all.push_back(memory->bytes());
    if (adds()) {
      all.push_back(mask.bytes());
      all.push_back(dshortcut.bytes());
    }
    return all;
  }

  Case c;
  DeviceMemory x, shortcut, dy, weight, bias, running_mean, running_var;
  DeviceMemory y, dx, dshortcut, mean, invstd, dweight, dbias, mask, workspace, backward_workspace;
};

// The same in double. Which gradients ReLU lets pass is read off `y`: at its edge the two may round differently.
struct Reference {
  Values y, mean, var, dx, dshortcut, dweight, dbias;

  Reference(const Case& c, const Values& x, const Values& shortcut, const Values& weight, const Values& bias,
            const Values& dy, const Values* stored_y) {
    const auto channels = static_cast<size_t>(c.channels), rows = static_cast<size_t>(c.rows);
    const auto n = static_cast<double>(rows);
    y = dx = dshortcut = Values(rows * channels);
    mean = var = dweight = dbias = Values(channels);
    for (size_t j = 0; j < channels; ++j) {
      for (size_t r = 0; r < rows; ++r) mean[j] += x[r * channels + j] / n;
      for (size_t r = 0; r < rows; ++r) var[j] += std::pow(x[r * channels + j] - mean[j], 2) / n;
      const double invstd = 1 / std::sqrt(var[j] + double{1e-5f});
      for (size_t r = 0; r < rows; ++r) {
        const size_t i = r * channels + j;
        y[i] = (x[i] - mean[j]) * invstd * weight[j] + bias[j];
        if (c.activation == Activation::kAddRelu) y[i] += shortcut[i];
        if (c.activation != Activation::kNone) y[i] = std::max(y[i], 0.0);
      }
      if (stored_y == nullptr) continue;
      for (size_t r = 0; r < rows; ++r) {
        const size_t i = r * channels + j;
        const double g = c.activation == Activation::kNone || (*stored_y)[i] > 0 ? dy[i] : 0;
        dshortcut[i] = g;
        dbias[j] += g;
        dweight[j] += g * (x[i] - mean[j]) * invstd;
      }
      for (size_t r = 0; r < rows; ++r) {
        const size_t i = r * channels + j;
        dx[i] = weight[j] * invstd * (dshortcut[i] - dbias[j] / n - (x[i] - mean[j]) * invstd * dweight[j] / n);
      }
    }
  }
};

void expect_close(const Values& got, const Values& expected, double relative, double absolute, const char* what) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(got[i], expected[i], relative * std::fabs(expected[i]) + absolute) << what << " " << i;
}

void expect_double_arithmetic(const Case& c, double slack = 1) {
  SCOPED_TRACE(c.name());
  Pass pass(c);
  const Values old_mean = pass.running_mean.values(), old_var = pass.running_var.values();
  pass.run();
  if (::testing::Test::HasFatalFailure()) return;
  const Values y = pass.y.values();
  const Reference expected(c, pass.x.values(), pass.shortcut.values(), pass.weight.values(), pass.bias.values(),
                           pass.dy.values(), &y);
  const double type = c.rounding(), small = slack * 2e-6;
  expect_close(pass.mean.values(), expected.mean, 1e-6, small, "mean");
  Values var = pass.invstd.values();
  for (double& v : var) v = 1 / (v * v) - double{1e-5f};
  expect_close(var, expected.var, slack * 1e-5, 1e-9, "variance");
  expect_close(y, expected.y, 1.1 * type, slack * 1e-5, "y");
  expect_close(pass.dbias.values(), expected.dbias, 1e-5, small * static_cast<double>(c.rows), "dbias");
  expect_close(pass.dweight.values(), expected.dweight, slack * 1e-5, small * static_cast<double>(c.rows), "dweight");
  const double invstd = 1 / (c.deviation * c.deviation) + 1;
  expect_close(pass.dx.values(), expected.dx, 1.1 * type, slack * 1e-5 * invstd, "dx");
  if (pass.adds()) expect_close(pass.dshortcut.values(), expected.dshortcut, 0, 0, "dshortcut");
  if (c.rows < 2) return;
  const double unbiased = static_cast<double>(c.rows) / static_cast<double>(c.rows - 1);
  for (size_t j = 0; j < old_mean.size(); ++j) {
    EXPECT_NEAR(pass.running_mean.values()[j], 0.9 * old_mean[j] + 0.1 * expected.mean[j],
                1e-6 * (1 + std::fabs(c.mean)));
    EXPECT_NEAR(pass.running_var.values()[j], 0.9 * old_var[j] + 0.1 * unbiased * expected.var[j],
                1e-5 * (1 + expected.var[j]));
  }
}

constexpr NumberType kTypes[] = {NumberType::kFloat, NumberType::kHalf, NumberType::kBFloat16};
constexpr Activation kActivations[] = {Activation::kNone, Activation::kRelu, Activation::kAddRelu};

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
