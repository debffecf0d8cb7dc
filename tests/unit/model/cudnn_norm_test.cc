// cuDNN's fusion without a GPU: its own descriptors, which need none, and functions of ours in place of those that
// compute. They read every operand from the descriptors and addresses that they are handed, and check each of them.
#include "engine/model/cudnn_norm.h"

#ifdef IMGTRAIN_WITH_CUDNN

#include <c10/util/Half.h>
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "engine/model/device_clock.h"
#include "engine/model/kernel_check.h"
#include "engine/model/norm_choice.h"
#include "format/error.h"
#include "tests/support/emulated_cuda/emulated_kernels.h"
#include "tests/unit/model/norm_layer.h"

namespace imgtrain {
namespace {

using c10::Half;
using testing::HasSubstr;
using torch::Tensor;

template <class Function>
Function in_library(const char* name) {
  void* const library = dlopen("libcudnn.so.9", RTLD_NOW | RTLD_NOLOAD);
  return library == nullptr ? nullptr : reinterpret_cast<Function>(dlsym(library, name));
}

// What the last forward pass was told, for the backward pass that follows.
struct Told {
  cudnnBatchNormOps_t ops;
  double eps;
  int forwards = 0, backwards = 0;
};
Told told;

struct MapShape {
  std::array<int, 4> sizes{};
  int64_t rows() const { return int64_t{sizes[0]} * sizes[2] * sizes[3]; }
  int64_t channels() const { return sizes[1]; }
  int64_t numel() const { return rows() * channels(); }
  bool operator==(const MapShape&) const = default;
};

cudnnHandle_t stand_in_handle() {
  static int something;
  return reinterpret_cast<cudnnHandle_t>(&something);
}

// REQUIRES of cuDNN: half, NHWC, no gaps, channels in fours.
MapShape map_of(cudnnTensorDescriptor_t descriptor) {
  static const auto get = in_library<decltype(&::cudnnGetTensor4dDescriptor)>("cudnnGetTensor4dDescriptor");
  cudnnDataType_t type = CUDNN_DATA_DOUBLE;
  int n = 0, c = 0, h = 0, w = 0, n_stride = 0, c_stride = 0, h_stride = 0, w_stride = 0;
  EXPECT_EQ(get(descriptor, &type, &n, &c, &h, &w, &n_stride, &c_stride, &h_stride, &w_stride), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(type, CUDNN_DATA_HALF);
  EXPECT_EQ(c % 4, 0);
  EXPECT_EQ(c_stride, 1);
  EXPECT_EQ(w_stride, c);
  EXPECT_EQ(h_stride, w * c);
  EXPECT_EQ(n_stride, h * w * c);
  return {{n, c, h, w}};
}

void expect_channels(cudnnTensorDescriptor_t descriptor, const MapShape& map) {
  static const auto get = in_library<decltype(&::cudnnGetTensor4dDescriptor)>("cudnnGetTensor4dDescriptor");
  cudnnDataType_t type = CUDNN_DATA_DOUBLE;
  int n = 0, c = 0, h = 0, w = 0, stride = 0;
  EXPECT_EQ(get(descriptor, &type, &n, &c, &h, &w, &stride, &stride, &stride, &stride), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(type, CUDNN_DATA_FLOAT);
  EXPECT_EQ((std::array{n, c, h, w}), (std::array{1, map.sizes[1], 1, 1}));
}

void expect_activation(cudnnBatchNormOps_t ops, cudnnActivationDescriptor_t descriptor) {
  static const auto get = in_library<decltype(&::cudnnGetActivationDescriptor)>("cudnnGetActivationDescriptor");
  if (ops == CUDNN_BATCHNORM_OPS_BN) {
    EXPECT_EQ(descriptor, nullptr);
    return;
  }
  cudnnActivationMode_t mode = CUDNN_ACTIVATION_TANH;
  cudnnNanPropagation_t nan = CUDNN_NOT_PROPAGATE_NAN;
  double coefficient = -1;
  ASSERT_EQ(get(descriptor, &mode, &nan, &coefficient), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(mode, CUDNN_ACTIVATION_RELU);
  EXPECT_EQ(nan, CUDNN_PROPAGATE_NAN);
}

void expect_factors(const void* alpha, const void* beta) {
  EXPECT_EQ(*static_cast<const float*>(alpha), 1);
  EXPECT_EQ(*static_cast<const float*>(beta), 0);
}

void expect_aligned(const void* address) {
  EXPECT_NE(address, nullptr);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(address) % 16, 0u);
}

// Sizes that nobody would guess, and that differ from shape to shape.
size_t forward_bytes(const MapShape& map) {
  return static_cast<size_t>(16 * map.channels() + 5);
}
size_t backward_bytes(const MapShape& map) {
  return static_cast<size_t>(24 * map.channels() + 9);
}
size_t reserve_bytes(const MapShape& map, cudnnBatchNormOps_t ops) {
  return ops == CUDNN_BATCHNORM_OPS_BN ? 0 : static_cast<size_t>(map.numel() / 8 + 13);
}

void expect_operands(cudnnHandle_t handle, cudnnBatchNormMode_t mode, cudnnBatchNormOps_t ops, const MapShape& map,
                     cudnnTensorDescriptor_t added) {
  EXPECT_EQ(handle, stand_in_handle());
  EXPECT_EQ(mode, CUDNN_BATCHNORM_SPATIAL_PERSISTENT);
  if (ops == CUDNN_BATCHNORM_OPS_BN_ADD_ACTIVATION) {
    EXPECT_EQ(map_of(added), map);
  } else {
    EXPECT_EQ(added, nullptr);
  }
}

cudnnStatus_t forward_workspace(cudnnHandle_t handle, cudnnBatchNormMode_t mode, cudnnBatchNormOps_t ops,
                                cudnnTensorDescriptor_t x, cudnnTensorDescriptor_t z, cudnnTensorDescriptor_t y,
                                cudnnTensorDescriptor_t channels, cudnnActivationDescriptor_t activation,
                                size_t* bytes) {
  const MapShape map = map_of(x);
  expect_operands(handle, mode, ops, map, z);
  EXPECT_EQ(map_of(y), map);
  expect_channels(channels, map);
  expect_activation(ops, activation);
  *bytes = forward_bytes(map);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t backward_workspace(cudnnHandle_t handle, cudnnBatchNormMode_t mode, cudnnBatchNormOps_t ops,
                                 cudnnTensorDescriptor_t x, cudnnTensorDescriptor_t y, cudnnTensorDescriptor_t dy,
                                 cudnnTensorDescriptor_t dz, cudnnTensorDescriptor_t dx,
                                 cudnnTensorDescriptor_t channels, cudnnActivationDescriptor_t activation,
                                 size_t* bytes) {
  const MapShape map = map_of(x);
  expect_operands(handle, mode, ops, map, dz);
  if (ops != CUDNN_BATCHNORM_OPS_BN) {
    EXPECT_EQ(map_of(y), map);
  }
  EXPECT_EQ(map_of(dy), map);
  EXPECT_EQ(map_of(dx), map);
  expect_channels(channels, map);
  expect_activation(ops, activation);
  *bytes = backward_bytes(map);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t reserve_space(cudnnHandle_t handle, cudnnBatchNormMode_t mode, cudnnBatchNormOps_t ops,
                            cudnnActivationDescriptor_t activation, cudnnTensorDescriptor_t x, size_t* bytes) {
  EXPECT_EQ(handle, stand_in_handle());
  EXPECT_EQ(mode, CUDNN_BATCHNORM_SPATIAL_PERSISTENT);
  expect_activation(ops, activation);
  *bytes = reserve_bytes(map_of(x), ops);
  return CUDNN_STATUS_SUCCESS;
}

// Mean of f(row) over the rows of a map, in double.
template <class Function>
double mean_over(const MapShape& map, const Function& f) {
  double sum = 0;
  for (int64_t row = 0; row < map.rows(); ++row) sum += f(row);
  return sum / static_cast<double>(map.rows());
}

bool passes(float y) {
  return !(y <= 0);
}

cudnnStatus_t forward(cudnnHandle_t handle, cudnnBatchNormMode_t mode, cudnnBatchNormOps_t ops, const void* alpha,
                      const void* beta, cudnnTensorDescriptor_t x_shape, const void* x_data,
                      cudnnTensorDescriptor_t z_shape, const void* z_data, cudnnTensorDescriptor_t y_shape,
                      void* y_data, cudnnTensorDescriptor_t channels, const void* scale, const void* bias,
                      double factor, void* running_mean, void* running_var, double eps, void* saved_mean,
                      void* saved_invstd, cudnnActivationDescriptor_t activation, void* workspace,
                      size_t workspace_bytes, void* reserve, size_t reserved_bytes) {
  const MapShape map = map_of(x_shape);
  expect_operands(handle, mode, ops, map, z_shape);
  EXPECT_EQ(map_of(y_shape), map);
  expect_channels(channels, map);
  expect_activation(ops, activation);
  expect_factors(alpha, beta);
  expect_aligned(x_data);
  expect_aligned(y_data);
  EXPECT_EQ(workspace_bytes, forward_bytes(map));
  EXPECT_EQ(reserved_bytes, reserve_bytes(map, ops));
  std::memset(workspace, 0xff, workspace_bytes);
  const bool relu = ops != CUDNN_BATCHNORM_OPS_BN, adds = ops == CUDNN_BATCHNORM_OPS_BN_ADD_ACTIVATION;
  if (adds) {
    expect_aligned(z_data);
  } else {
    EXPECT_EQ(z_data, nullptr);
  }
  if (relu) std::memset(reserve, 0, reserved_bytes);
  const auto* const x = static_cast<const Half*>(x_data);
  const auto* const z = static_cast<const Half*>(z_data);
  auto* const y = static_cast<Half*>(y_data);
  const auto rows = static_cast<double>(map.rows());
  for (int64_t c = 0; c < map.channels(); ++c) {
    const auto at = [&](int64_t row) { return row * map.channels() + c; };
    const double mean = mean_over(map, [&](int64_t row) { return static_cast<float>(x[at(row)]); });
    const double var = mean_over(map, [&](int64_t row) { return std::pow(static_cast<float>(x[at(row)]) - mean, 2); });
    const double invstd = 1 / std::sqrt(var + eps);
    static_cast<float*>(saved_mean)[c] = static_cast<float>(mean);
    static_cast<float*>(saved_invstd)[c] = static_cast<float>(invstd);
    const auto move = [&](void* running, double now) {
      float& value = static_cast<float*>(running)[c];
      value = static_cast<float>(factor * now + (1 - factor) * value);
    };
    move(running_mean, mean);
    move(running_var, var * rows / (rows - 1));
    for (int64_t row = 0; row < map.rows(); ++row) {
      double value = (static_cast<float>(x[at(row)]) - mean) * invstd * static_cast<const float*>(scale)[c] +
                     static_cast<const float*>(bias)[c];
      if (adds) value += static_cast<float>(z[at(row)]);
      const auto rounded = static_cast<Half>(static_cast<float>(value));
      y[at(row)] = relu && !passes(rounded) ? Half(0) : rounded;
      if (relu && passes(y[at(row)]))
        static_cast<uint8_t*>(reserve)[at(row) / 8] |= static_cast<uint8_t>(1 << (at(row) % 8));
    }
  }
  told.ops = ops;
  told.eps = eps;
  ++told.forwards;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t backward(cudnnHandle_t handle, cudnnBatchNormMode_t mode, cudnnBatchNormOps_t ops, const void* alpha_data,
                       const void* beta_data, const void* alpha_parameters, const void* beta_parameters,
                       cudnnTensorDescriptor_t x_shape, const void* x_data, cudnnTensorDescriptor_t y_shape,
                       const void* y_data, cudnnTensorDescriptor_t dy_shape, const void* dy_data,
                       cudnnTensorDescriptor_t dz_shape, void* dz_data, cudnnTensorDescriptor_t dx_shape, void* dx_data,
                       cudnnTensorDescriptor_t channels, const void* scale, const void* bias, void* dscale, void* dbias,
                       double eps, const void* saved_mean, const void* saved_invstd,
                       cudnnActivationDescriptor_t activation, void* workspace, size_t workspace_bytes, void* reserve,
                       size_t reserved_bytes) {
  const MapShape map = map_of(x_shape);
  expect_operands(handle, mode, ops, map, dz_shape);
  EXPECT_EQ(map_of(dy_shape), map);
  EXPECT_EQ(map_of(dx_shape), map);
  expect_channels(channels, map);
  expect_activation(ops, activation);
  expect_factors(alpha_data, beta_data);
  expect_factors(alpha_parameters, beta_parameters);
  for (const void* const address : {x_data, dy_data, static_cast<const void*>(dx_data)}) expect_aligned(address);
  EXPECT_NE(bias, nullptr);
  EXPECT_EQ(ops, told.ops);
  EXPECT_EQ(eps, told.eps);
  EXPECT_EQ(workspace_bytes, backward_bytes(map));
  EXPECT_EQ(reserved_bytes, reserve_bytes(map, ops));
  std::memset(workspace, 0xff, workspace_bytes);
  const bool relu = ops != CUDNN_BATCHNORM_OPS_BN, adds = ops == CUDNN_BATCHNORM_OPS_BN_ADD_ACTIVATION;
  if (relu) {
    EXPECT_EQ(map_of(y_shape), map);
    expect_aligned(y_data);
  } else {
    EXPECT_EQ(y_data, nullptr);
  }
  EXPECT_EQ(dz_data != nullptr, adds);
  const auto* const x = static_cast<const Half*>(x_data);
  const auto* const y = static_cast<const Half*>(y_data);
  const auto* const dy = static_cast<const Half*>(dy_data);
  for (int64_t c = 0; c < map.channels(); ++c) {
    const auto at = [&](int64_t row) { return row * map.channels() + c; };
    const double mean = static_cast<const float*>(saved_mean)[c], invstd = static_cast<const float*>(saved_invstd)[c];
    const auto gradient = [&](int64_t row) -> double {
      if (!relu) return static_cast<float>(dy[at(row)]);
      const bool kept = (static_cast<const uint8_t*>(reserve)[at(row) / 8] >> (at(row) % 8)) & 1;
      EXPECT_EQ(kept, passes(y[at(row)])) << "y or the reserve space is not what forward left";
      return kept ? static_cast<float>(dy[at(row)]) : 0.0;
    };
    const auto normal = [&](int64_t row) { return (static_cast<float>(x[at(row)]) - mean) * invstd; };
    const double mean_g = mean_over(map, gradient);
    const double mean_gn = mean_over(map, [&](int64_t row) { return gradient(row) * normal(row); });
    static_cast<float*>(dbias)[c] = static_cast<float>(mean_g * static_cast<double>(map.rows()));
    static_cast<float*>(dscale)[c] = static_cast<float>(mean_gn * static_cast<double>(map.rows()));
    for (int64_t row = 0; row < map.rows(); ++row) {
      const double inner = gradient(row) - mean_g - normal(row) * mean_gn;
      static_cast<Half*>(dx_data)[at(row)] =
          static_cast<Half>(static_cast<float>(static_cast<const float*>(scale)[c] * invstd * inner));
      if (adds) static_cast<Half*>(dz_data)[at(row)] = static_cast<Half>(static_cast<float>(gradient(row)));
    }
  }
  ++told.backwards;
  return CUDNN_STATUS_SUCCESS;
}

// libtorch's cuDNN for descriptors, this file for everything else.
CudnnNormCalls stand_in() {
  CudnnNormCalls calls = loaded_cudnn().value();
  calls.handle = stand_in_handle;
  calls.forward_workspace = forward_workspace;
  calls.backward_workspace = backward_workspace;
  calls.reserve_space = reserve_space;
  calls.forward = forward;
  calls.backward = backward;
  return calls;
}

std::shared_ptr<const FusedNorm> stand_in_norm() {
  return cudnn_fused_norm(stand_in(), torch::kCPU);
}

TEST(LoadedCudnn, IsTheLibraryThatLibtorchHasLoaded) {
  const auto calls = loaded_cudnn();
  ASSERT_TRUE(calls.has_value());
  EXPECT_STREQ(calls->error_string(CUDNN_STATUS_BAD_PARAM), "CUDNN_STATUS_BAD_PARAM");
  EXPECT_EQ(calls->forward, in_library<decltype(&::cudnnBatchNormalizationForwardTrainingEx)>(
                                "cudnnBatchNormalizationForwardTrainingEx"));
}

TEST(CudnnFusedNorm, EqualsTorchsDoubleToTheRoundingOfHalf) {
  for (const auto& sizes : {std::vector<int64_t>{5, 16, 9, 6}, {2, 4, 3, 7}, {6, 8, 1, 1}}) {
    for (const bool adds : {false, true}) {
      const NormInputs in(sizes, torch::kHalf, adds);
      NormLayer exact(sizes[1], torch::kDouble), fused(sizes[1], torch::kFloat);
      fused.norm->fuse(stand_in_norm());
      told = {};
      const auto expected = exact.run(in.x.to(torch::kDouble), adds ? in.shortcut.to(torch::kDouble) : Tensor(),
                                      in.dy.to(torch::kDouble));
      const auto got = fused.run(in.x, in.shortcut, in.dy);
      EXPECT_EQ(told.forwards, 1);
      EXPECT_EQ(told.backwards, 1);
      EXPECT_EQ(got[0].scalar_type(), torch::kHalf);
      EXPECT_EQ(got[1].scalar_type(), torch::kHalf);
      ASSERT_EQ(got.size(), expected.size());
      for (size_t i = 0; i < got.size(); ++i)
        EXPECT_LT(relative_distance(got[i], expected[i]), 1e-3) << kNormOutputs[i] << " of " << sizes;
    }
  }
}

TEST(CudnnFusedNorm, WithoutReluNeitherTheResultNorAnActivationIsHandedOver) {
  const NormInputs in({3, 8, 4, 4}, torch::kHalf, /*adds=*/false);
  const NormLayer layer(8, torch::kFloat);
  FusedNorm::Parameters parameters;
  parameters.weight = layer.norm->weight;
  parameters.bias = layer.norm->bias;
  parameters.running_mean = layer.norm->running_mean;
  parameters.running_var = layer.norm->running_var;
  parameters.relu = false;
  const auto norm = stand_in_norm();
  const torch::NoGradGuard no_grad;
  FusedNorm::Parameters same = parameters;
  same.running_mean = parameters.running_mean.clone();
  same.running_var = parameters.running_var.clone();
  const auto got = norm->forward(in.x, {}, parameters), expected = reference_fused_norm()->forward(in.x, {}, same);
  EXPECT_FALSE(got.kept_y.defined());
  EXPECT_LT(relative_distance(got.y, expected.y), 1e-3);
  const auto own = norm->backward(in.dy, {}, in.x, false, parameters, got);
  const auto reference = reference_fused_norm()->backward(in.dy, {}, in.x, false, same, expected);
  EXPECT_LT(relative_distance(own.dx, reference.dx), 1e-3);
  EXPECT_LT(relative_distance(own.dweight, reference.dweight), 1e-3);
  EXPECT_FALSE(own.dshortcut.defined());
}

TEST(CudnnFusedNorm, TakesAnyLayoutAndAlignmentOfItsInputs) {
  const NormInputs in({4, 8, 5, 5}, torch::kHalf, true);
  NormLayer one(8, torch::kFloat), two(8, torch::kFloat);
  one.norm->fuse(stand_in_norm());
  two.norm->fuse(stand_in_norm());
  const Tensor room = torch::zeros({4 * 8 * 25 + 1}, torch::kHalf);
  const Tensor odd = room.narrow(0, 1, 800).view({4, 5, 5, 8}).permute({0, 3, 1, 2});
  odd.copy_(in.x);
  ASSERT_NE(reinterpret_cast<uintptr_t>(odd.data_ptr()) % 16, 0u);
  const auto expected = one.run(in.x, in.shortcut, in.dy);
  const Tensor x = odd.detach().requires_grad_(), shortcut = in.shortcut.contiguous().requires_grad_();
  const Tensor y = two.norm->forward_add_relu(x, shortcut);
  y.backward(in.dy.contiguous());
  EXPECT_TRUE(y.equal(expected[0]));
  EXPECT_TRUE(x.grad().equal(expected[1]));
  EXPECT_TRUE(shortcut.grad().equal(expected[6]));
}

TEST(CudnnFusedNorm, LeavesWhatCudnnDoesNotFuseToOthers) {
  const auto norm = stand_in_norm();
  const Tensor weight = torch::ones({4});
  const auto map = [](at::IntArrayRef sizes, at::ScalarType type) { return torch::empty(sizes, type); };
  EXPECT_TRUE(norm->takes(map({2, 4, 1, 1}, torch::kHalf), weight));
  EXPECT_FALSE(norm->takes(map({2, 6, 1, 1}, torch::kHalf), torch::ones({6})));
  EXPECT_FALSE(norm->takes(map({2, 4, 1, 1}, torch::kFloat), weight));
  EXPECT_FALSE(norm->takes(map({2, 4, 1, 1}, torch::kBFloat16), weight));
  EXPECT_FALSE(norm->takes(map({2, 4, 1, 1}, torch::kHalf), weight.to(torch::kDouble)));
  EXPECT_FALSE(norm->takes(map({0, 4, 1, 1}, torch::kHalf), weight));
  EXPECT_FALSE(norm->takes(map({2, 4, 1}, torch::kHalf), weight));
  // More elements than cuDNN's numbers can count; nothing touches the memory.
  EXPECT_FALSE(norm->takes(torch::empty({1}, torch::kHalf).expand({1 << 15, 4, 1 << 8, 1 << 7}), weight));
  EXPECT_FALSE(cudnn_fused_norm(stand_in(), torch::kCUDA)->takes(map({2, 4, 1, 1}, torch::kHalf), weight));
}

TEST(CudnnFusedNorm, PassesTheTrialOnTheDevice) {
  EXPECT_EQ(disagreement(*stand_in_norm(), torch::kCPU), "");
}

template <class... Arguments>
void refuse(cudnnStatus_t (*&call)(Arguments...)) {
  call = [](Arguments...) { return CUDNN_STATUS_NOT_SUPPORTED; };
}

class Warnings : public c10::WarningHandler {
 public:
  void process(const c10::Warning& warning) override { texts.push_back(warning.msg()); }
  std::vector<std::string> texts;
};

TEST(CudnnFusedNorm, IsLeftAloneWhateverCallIsRefused) {
  const std::pair<const char*, void (*)(CudnnNormCalls&)> breaks[] = {
      {"create_tensor", [](CudnnNormCalls& calls) { refuse(calls.create_tensor); }},
      {"set_tensor", [](CudnnNormCalls& calls) { refuse(calls.set_tensor); }},
      {"derive_channels", [](CudnnNormCalls& calls) { refuse(calls.derive_channels); }},
      {"create_activation", [](CudnnNormCalls& calls) { refuse(calls.create_activation); }},
      {"set_activation", [](CudnnNormCalls& calls) { refuse(calls.set_activation); }},
      {"forward_workspace", [](CudnnNormCalls& calls) { refuse(calls.forward_workspace); }},
      {"backward_workspace", [](CudnnNormCalls& calls) { refuse(calls.backward_workspace); }},
      {"reserve_space", [](CudnnNormCalls& calls) { refuse(calls.reserve_space); }},
      {"forward", [](CudnnNormCalls& calls) { refuse(calls.forward); }},
      {"backward", [](CudnnNormCalls& calls) { refuse(calls.backward); }},
      {"handle",
       [](CudnnNormCalls& calls) {
         calls.handle = []() -> cudnnHandle_t { throw std::runtime_error("CUDNN_STATUS_NOT_SUPPORTED"); };
       }},
  };
  const auto own = kernel_fused_norm(kernels::kEmulatedBatchNorm, torch::kCPU);
  for (const auto& [name, break_it] : breaks) {
    CudnnNormCalls calls = stand_in();
    break_it(calls);
    Warnings warnings;
    const c10::WarningUtils::WarningHandlerGuard heard(&warnings);
    const auto chosen =
        with_alternative({"own", own}, {"cuDNN", cudnn_fused_norm(calls, torch::kCPU)}, torch::kCPU, device_clock());
    EXPECT_EQ(chosen, own) << name;
    ASSERT_EQ(warnings.texts.size(), 1u) << name;
    EXPECT_THAT(warnings.texts[0], HasSubstr("CUDNN_STATUS_NOT_SUPPORTED")) << name;
  }
}

TEST(CudnnFusedNorm, ARefusalNamesTheCallAndTheWayOut) {
  CudnnNormCalls calls = stand_in();
  refuse(calls.backward);
  NormLayer layer(8, torch::kFloat);
  layer.norm->fuse(cudnn_fused_norm(calls, torch::kCPU));
  const NormInputs in({3, 8, 4, 4}, torch::kHalf, true);
  try {
    layer.run(in.x, in.shortcut, in.dy);
    FAIL() << "the failure was lost";
  } catch (const imgpack::Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("expected the backward pass, found CUDNN_STATUS_NOT_SUPPORTED"));
    EXPECT_THAT(error.hint(), HasSubstr("--no-fused"));
  }
}

// Both candidates as they stand on a GPU, with half, and with what only one of them takes.
TEST(CudnnFusedNorm, SharesTheWorkWithOwnKernelsByShape) {
  const auto own = kernel_fused_norm(kernels::kEmulatedBatchNorm, torch::kCPU);
  const auto both = std::dynamic_pointer_cast<const NormChoice>(
      with_alternative({"own", own}, {"cuDNN", stand_in_norm()}, torch::kCPU, device_clock()));
  ASSERT_NE(both, nullptr);
  for (const auto& [type, channels] :
       {std::pair<at::ScalarType, int64_t>{torch::kHalf, 8}, {torch::kHalf, 7}, {torch::kBFloat16, 8}}) {
    const NormInputs in({3, channels, 6, 5}, type, /*adds=*/true);
    NormLayer exact(channels, torch::kDouble), fused(channels, torch::kFloat);
    fused.norm->fuse(both);
    const auto expected = exact.run(in.x.to(torch::kDouble), in.shortcut.to(torch::kDouble), in.dy.to(torch::kDouble));
    const auto got = fused.run(in.x, in.shortcut, in.dy);
    for (size_t i = 0; i < got.size(); ++i) EXPECT_LT(relative_distance(got[i], expected[i]), 8e-3) << kNormOutputs[i];
  }
  const auto trials = both->trials();
  ASSERT_EQ(trials.size(), 1u);
  EXPECT_EQ(trials[0].shape, (NormShape{3 * 6 * 5, 8, torch::kHalf, /*adds=*/true, /*relu=*/true}));
  EXPECT_TRUE(trials[0].seconds[0].has_value());
  EXPECT_TRUE(trials[0].seconds[1].has_value());
}

}  // namespace
}  // namespace imgtrain

#endif
