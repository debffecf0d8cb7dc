// One training pass through the batch-norm kernels, run on the CPU by tests/support/emulated_cuda, and the same in
// plain double-precision arithmetic.
//
//   Case -> Pass (all of its memory) . run() -> results        Reference: the same numbers in double
#pragma once

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

inline Values drawn(int64_t count, double mean, double deviation, unsigned seed) {
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

inline void expect_close(const Values& got, const Values& expected, double relative, double absolute,
                         const char* what) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(got[i], expected[i], relative * std::fabs(expected[i]) + absolute) << what << " " << i;
}

inline void expect_double_arithmetic(const Case& c, double slack = 1) {
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

inline constexpr NumberType kTypes[] = {NumberType::kFloat, NumberType::kHalf, NumberType::kBFloat16};
inline constexpr Activation kActivations[] = {Activation::kNone, Activation::kRelu, Activation::kAddRelu};

}  // namespace imgtrain::kernels
