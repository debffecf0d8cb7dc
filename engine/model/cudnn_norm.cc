#include "engine/model/cudnn_norm.h"

#ifdef IMGTRAIN_WITH_CUDNN

#include <limits>
#include <string>
#include <type_traits>

#include "engine/model/feature_rows.h"
#include "format/error.h"

namespace imgtrain {
namespace {

using torch::Tensor;

// The one mode with kernels for channels_last, and the one that fuses.
constexpr cudnnBatchNormMode_t kMode = CUDNN_BATCHNORM_SPATIAL_PERSISTENT;
constexpr int64_t kChannelStep = 4;
// Factors of the results and of what the memory held before; host memory, float where maps are half.
constexpr float kOne = 1, kZero = 0;

cudnnBatchNormOps_t operations(bool relu, bool has_shortcut) {
  if (!relu) return CUDNN_BATCHNORM_OPS_BN;
  return has_shortcut ? CUDNN_BATCHNORM_OPS_BN_ADD_ACTIVATION : CUDNN_BATCHNORM_OPS_BN_ACTIVATION;
}

template <class Descriptor>
using Owned = std::unique_ptr<std::remove_pointer_t<Descriptor>, cudnnStatus_t (*)(Descriptor)>;

class CudnnFusedNorm : public FusedNorm {
 public:
  CudnnFusedNorm(const CudnnNormCalls& calls, torch::Device device) : calls_(calls), device_(device) {}

  bool takes(const Tensor& x, const Tensor& weight) const override {
    return x.device().type() == device_.type() && x.dim() == 4 && x.numel() > 0 &&
           x.numel() <= std::numeric_limits<int>::max() && x.scalar_type() == at::kHalf &&
           weight.scalar_type() == at::kFloat && x.size(1) % kChannelStep == 0;
  }

  Result forward(const Tensor& given_x, const Tensor& given_shortcut, const Parameters& p) const override {
    const c10::DeviceGuard on_device(given_x.device());
    const bool adds = given_shortcut.defined();
    const Tensor x = as_rows(given_x);
    const Tensor shortcut = adds ? as_rows(given_shortcut) : Tensor();
    const Shapes shapes(*this, x, p.relu);
    const cudnnBatchNormOps_t ops = operations(p.relu, adds);
    const cudnnTensorDescriptor_t added = adds ? shapes.map.get() : nullptr;
    const cudnnHandle_t handle = calls_.handle();
    size_t workspace_bytes = 0, reserve_bytes = 0;
    require(calls_.forward_workspace(handle, kMode, ops, shapes.map.get(), added, shapes.map.get(),
                                     shapes.channels.get(), shapes.activation.get(), &workspace_bytes),
            "the size of the forward pass's workspace");
    require(calls_.reserve_space(handle, kMode, ops, shapes.activation.get(), shapes.map.get(), &reserve_bytes),
            "the size of what backward is left");
    const Tensor workspace = bytes(workspace_bytes, x);
    Result result;
    result.y = torch::empty_like(x);
    result.mean = torch::empty_like(p.weight);
    result.invstd = torch::empty_like(p.weight);
    result.mask = bytes(reserve_bytes, x);
    if (p.relu) result.kept_y = result.y;
    require(
        calls_.forward(handle, kMode, ops, &kOne, &kZero, shapes.map.get(), x.const_data_ptr(), added,
                       adds ? shortcut.const_data_ptr() : nullptr, shapes.map.get(), result.y.mutable_data_ptr(),
                       shapes.channels.get(), p.weight.const_data_ptr(), p.bias.const_data_ptr(), p.momentum,
                       p.running_mean.mutable_data_ptr(), p.running_var.mutable_data_ptr(), p.eps,
                       result.mean.mutable_data_ptr(), result.invstd.mutable_data_ptr(), shapes.activation.get(),
                       workspace.mutable_data_ptr(), workspace_bytes, result.mask.mutable_data_ptr(), reserve_bytes),
        "the forward pass");
    return result;
  }

  Gradients backward(const Tensor& given_dy, const Tensor& dy_too, const Tensor& given_x, bool has_shortcut,
                     const Parameters& p, const Result& forward) const override {
    const c10::DeviceGuard on_device(given_x.device());
    const Tensor x = as_rows(given_x), dy = as_rows(sum(given_dy, dy_too));
    const Shapes shapes(*this, x, p.relu);
    const cudnnBatchNormOps_t ops = operations(p.relu, has_shortcut);
    const cudnnTensorDescriptor_t result = p.relu ? shapes.map.get() : nullptr;
    const cudnnTensorDescriptor_t added = has_shortcut ? shapes.map.get() : nullptr;
    const cudnnHandle_t handle = calls_.handle();
    size_t workspace_bytes = 0;
    require(
        calls_.backward_workspace(handle, kMode, ops, shapes.map.get(), result, shapes.map.get(), added,
                                  shapes.map.get(), shapes.channels.get(), shapes.activation.get(), &workspace_bytes),
        "the size of the backward pass's workspace");
    const Tensor workspace = bytes(workspace_bytes, x);
    Gradients gradients;
    gradients.dx = torch::empty_like(x);
    if (has_shortcut) gradients.dshortcut = torch::empty_like(x);
    gradients.dweight = torch::empty_like(p.weight);
    gradients.dbias = torch::empty_like(p.weight);
    require(
        calls_.backward(handle, kMode, ops, &kOne, &kZero, &kOne, &kZero, shapes.map.get(), x.const_data_ptr(), result,
                        p.relu ? forward.kept_y.const_data_ptr() : nullptr, shapes.map.get(), dy.const_data_ptr(),
                        added, has_shortcut ? gradients.dshortcut.mutable_data_ptr() : nullptr, shapes.map.get(),
                        gradients.dx.mutable_data_ptr(), shapes.channels.get(), p.weight.const_data_ptr(),
                        p.bias.const_data_ptr(), gradients.dweight.mutable_data_ptr(),
                        gradients.dbias.mutable_data_ptr(), p.eps, forward.mean.const_data_ptr(),
                        forward.invstd.const_data_ptr(), shapes.activation.get(), workspace.mutable_data_ptr(),
                        workspace_bytes, forward.mask.mutable_data_ptr(), static_cast<size_t>(forward.mask.numel())),
        "the backward pass");
    return gradients;
  }

 private:
  // What a call is told of its operands. Every map of a call is of one shape.
  struct Shapes {
    Shapes(const CudnnFusedNorm& norm, const Tensor& x, bool relu)
        : map(norm.new_tensor()),
          channels(norm.new_tensor()),
          activation(relu ? norm.new_activation() : Owned<cudnnActivationDescriptor_t>(nullptr, nullptr)) {
      const auto size = [&](int64_t dimension) { return static_cast<int>(x.size(dimension)); };
      norm.require(
          norm.calls_.set_tensor(map.get(), CUDNN_TENSOR_NHWC, CUDNN_DATA_HALF, size(0), size(1), size(2), size(3)),
          "the shape of a feature map");
      norm.require(norm.calls_.derive_channels(channels.get(), map.get(), kMode), "the shape of the parameters");
      // NaN passes, as through libtorch's ReLU.
      if (relu)
        norm.require(
            norm.calls_.set_activation(activation.get(), CUDNN_ACTIVATION_RELU, CUDNN_PROPAGATE_NAN, /*coef=*/0),
            "ReLU");
    }
    Owned<cudnnTensorDescriptor_t> map, channels;
    Owned<cudnnActivationDescriptor_t> activation;
  };

  Owned<cudnnTensorDescriptor_t> new_tensor() const {
    cudnnTensorDescriptor_t made = nullptr;
    require(calls_.create_tensor(&made), "a descriptor");
    return {made, calls_.destroy_tensor};
  }
  Owned<cudnnActivationDescriptor_t> new_activation() const {
    cudnnActivationDescriptor_t made = nullptr;
    require(calls_.create_activation(&made), "a descriptor");
    return {made, calls_.destroy_activation};
  }

  static Tensor bytes(size_t count, const Tensor& beside) {
    return torch::empty({static_cast<int64_t>(count)}, beside.options().dtype(torch::kByte));
  }

  void require(cudnnStatus_t status, const char* what) const {
    if (status != CUDNN_STATUS_SUCCESS)
      throw imgpack::Error(
          imgpack::ErrorKind::kInternal,
          std::string("cuDNN's fused batch norm: expected ") + what + ", found " + calls_.error_string(status), {}, {},
          "--no-fused trains with libtorch's separate operations");
  }

  CudnnNormCalls calls_;
  torch::Device device_;
};

}  // namespace

std::shared_ptr<const FusedNorm> cudnn_fused_norm(const CudnnNormCalls& calls, torch::Device device) {
  return std::make_shared<CudnnFusedNorm>(calls, device);
}

}  // namespace imgtrain

#endif
