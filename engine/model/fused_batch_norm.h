// Batch norm, the addition of a shortcut and ReLU as one operation of autograd, for training.
//
//   BatchNorm2d::forward_relu, forward_add_relu --> forked_batch_norm --> FusedNorm: kernels on the device, the faster
//                                                                       of several (norm_choice.h), or torch's own
//                                                                       operations as the reference for tests
//
// One node in place of three, and one saved feature map (x, the convolution's output) where libtorch saves that and the
// result; engine/kernels/batch_norm.h says what that spares.
#pragma once

#include <torch/torch.h>

#include <memory>

#include "engine/kernels/batch_norm.h"
#include "engine/model/forked_map.h"

namespace imgtrain {

// Who does the arithmetic. Immutable: any number of layers and threads share one.
class FusedNorm {
 public:
  struct Parameters {
    torch::Tensor weight, bias;               // C
    torch::Tensor running_mean, running_var;  // C, updated by forward.
    double momentum = 0.1, eps = 1e-5;
    bool relu = true;    // False: plain batch norm.
    bool forks = false;  // The result goes two ways: backward is likely to get two gradients.
  };
  struct Result {
    torch::Tensor y, mean, invstd;
    torch::Tensor mask;                   // Whatever backward wants to know of ReLU; undefined: nothing.
    torch::Tensor kept_y;                 // `y` itself where backward reads it; undefined: it does not, and y may go.
    std::shared_ptr<const FusedNorm> by;  // Whose backward goes with this; nullptr: that of whoever returned it.
  };
  struct Gradients {
    torch::Tensor dx, dshortcut, dweight, dbias;  // dshortcut is undefined where none was added.
  };

  // Of relu(norm(x) + norm(shortcut)). What is not in `first` belongs to the shortcut's batch norm.
  struct PairResult {
    Result first;
    torch::Tensor mean, invstd;
  };
  struct PairGradients {
    Gradients first;  // dshortcut: of the shortcut as it was before its batch norm.
    torch::Tensor dweight, dbias;
  };

  virtual ~FusedNorm() = default;
  // Whether it can do with such an input. The others go through libtorch's separate operations.
  virtual bool takes(const torch::Tensor& x, const torch::Tensor& weight) const = 0;
  // `shortcut`: as x, or undefined: none. Its addition without ReLU does not exist.
  virtual Result forward(const torch::Tensor& x, const torch::Tensor& shortcut, const Parameters& parameters) const = 0;
  // `dy_too`: another gradient of y, which is to be added to dy; undefined: none.
  virtual Gradients backward(const torch::Tensor& dy, const torch::Tensor& dy_too, const torch::Tensor& x,
                             bool has_shortcut, const Parameters& parameters, const Result& forward) const = 0;

  // Whether it also does relu(norm(x) + norm(shortcut)) in one operation, for maps and parameters of which it takes
  // each.
  virtual bool takes_pairs() const { return false; }
  // REQUIRES: takes_pairs(). `p` is the branch's, whose `forks` counts for both; `relu` is meant.
  virtual PairResult forward_pair(const torch::Tensor& x, const Parameters& p, const torch::Tensor& shortcut,
                                  const Parameters& shortcut_p) const;
  virtual PairGradients backward_pair(const torch::Tensor& dy, const torch::Tensor& dy_too, const torch::Tensor& x,
                                      const Parameters& p, const torch::Tensor& shortcut, const Parameters& shortcut_p,
                                      const PairResult& forward) const;

 protected:
  // dy + dy_too, or dy where there is no other.
  static torch::Tensor sum(const torch::Tensor& dy, const torch::Tensor& dy_too);
};

// The kernels for a device, this program's own or, where libtorch's cuDNN has a fusion too that computes there what it
// should, a NormChoice of both (norm_choice.h). nullptr where there are none of its own: on a CPU, on a GPU older than
// they are made for, in a program that was built without them, and where they do not compute there what they should
// (kernel_check.h; said once). The same object for the same device. Any thread.
std::shared_ptr<const FusedNorm> device_fused_norm(torch::Device device);

// Any launchers on any device whose memory they can use. float, half and bfloat16 in channels_last.
std::shared_ptr<const FusedNorm> kernel_fused_norm(const kernels::BatchNormLaunchers& launchers, torch::Device device);

// The same out of torch's operations, on any device and in double too: what kernels are compared with.
std::shared_ptr<const FusedNorm> reference_fused_norm();

// REQUIRES: norm->takes(x, parameters.weight). Without parameters.forks both results are the same tensor.
ForkedMap forked_batch_norm(const std::shared_ptr<const FusedNorm>& norm, const torch::Tensor& x,
                            const torch::Tensor& shortcut, const FusedNorm::Parameters& parameters);
// relu(norm(x) + norm(shortcut)). REQUIRES: norm->takes_pairs(), and that it takes both; maps of one shape and type.
ForkedMap forked_batch_norm_pair(const std::shared_ptr<const FusedNorm>& norm, const torch::Tensor& x,
                                 const FusedNorm::Parameters& parameters, const torch::Tensor& shortcut,
                                 const FusedNorm::Parameters& shortcut_parameters);
}  // namespace imgtrain
