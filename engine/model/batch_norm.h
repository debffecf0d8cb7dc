// Batch norm whose running statistics do not depend on how a step was cut into pieces.
//
//   step:  begin_step -> { forward -> add_group } x micro-batches -> sums --(all-reduce)--> commit
//                             |           |                                                   |
//                    layers write     added, weighted                        running = (1 - m) * running
//                    the group's      by samples, in                                 + m * mean over all groups
//                    mean and var     double precision
//
// Each training forward normalises with the statistics of its own batch, which is one group of `bn_group` samples. The
// running statistics of an optimizer step are those of all its groups together, committed once, so that one rank with
// eight micro-batches and eight ranks with one give the same model. With one group this is PyTorch's definition.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/model/forked_map.h"
#include "engine/model/portable/resnet_options.h"

namespace imgtrain {

class FusedNorm;

// Sums a tensor over all ranks in place; every rank calls it in the same order.
using SumOverRanks = std::function<void(torch::Tensor&)>;

// Parameters, buffers, names and arithmetic of torch::nn::BatchNorm2d (affine, tracking statistics). On its own it also
// updates the running statistics in each training forward as PyTorch does; BatchNormStatistics takes that over.
class BatchNorm2dImpl : public torch::nn::Module {
 public:
  explicit BatchNorm2dImpl(int64_t channels, double momentum = 0.1, double eps = kBatchNormEps);

  // N x C x H x W -> the same. Training with a single value per channel is Error(kInvalidInput): it has no variance.
  torch::Tensor forward(const torch::Tensor& x);
  // relu(forward(x)) and relu(forward(x) + shortcut), the shortcut of x's shape. One operation in training where
  // fuse() was given something that takes x; in evaluation and with synchronize() always the separate ones.
  torch::Tensor forward_relu(const torch::Tensor& x);
  torch::Tensor forward_add_relu(const torch::Tensor& x, const torch::Tensor& shortcut);
  // forward_add_relu() for two readers, if `forks`.
  ForkedMap add_relu(const torch::Tensor& x, const torch::Tensor& shortcut, bool forks);
  // relu(forward(x) + shortcut_norm.forward(shortcut)); one operation where both are fused and what fuses them can do
  // it.
  ForkedMap add_norm_relu(const torch::Tensor& x, const torch::Tensor& shortcut, BatchNorm2dImpl& shortcut_norm,
                          bool forks);
  void pretty_print(std::ostream& out) const override;

  int64_t channels() const { return weight.numel(); }
  double momentum() const { return momentum_; }
  double eps() const { return eps_; }

  // From now on training normalises with the statistics of the batches of all ranks together (each may hold another
  // number of samples, or none). An empty function goes back to local statistics. REQUIRES: all ranks run the same
  // forward and backward passes.
  void synchronize(SumOverRanks sum) { sum_over_ranks_ = std::move(sum); }

  // nullptr: nothing is fused.
  void fuse(std::shared_ptr<const FusedNorm> fused) { fused_ = std::move(fused); }
  bool fuses(const torch::Tensor& x) const;  // Whether batch norm and ReLU are one operation now.

  torch::Tensor weight, bias;               // C, float
  torch::Tensor running_mean, running_var;  // C, float; the variance is the unbiased one
  torch::Tensor num_batches_tracked;        // Scalar, int64

 private:
  friend class BatchNormStatistics;
  torch::Tensor separate(const torch::Tensor& x);
  ForkedMap activated(const torch::Tensor& x, const torch::Tensor& shortcut, bool forks);
  void require_several_values(const torch::Tensor& x) const;

  double momentum_, eps_;
  SumOverRanks sum_over_ranks_;
  std::shared_ptr<const FusedNorm> fused_;
  torch::Tensor group_mean_, group_var_;  // Where a collector wants the statistics of a group; undefined without one.
};
TORCH_MODULE(BatchNorm2d);

// Collects the statistics of every BatchNorm2d of a model while it lives, instead of each layer updating its own.
// One thread. REQUIRES: the model outlives it and has been moved to its device before.
class BatchNormStatistics {
 public:
  explicit BatchNormStatistics(torch::nn::Module& model);
  ~BatchNormStatistics();
  BatchNormStatistics(const BatchNormStatistics&) = delete;
  BatchNormStatistics& operator=(const BatchNormStatistics&) = delete;

  void begin_step();                // Forgets what was added.
  void add_group(int64_t samples);  // After each training forward that should count, with its number of samples.
  void discard_group();             // After a training forward that should not.
  // What was added on this rank: one flat double tensor on the model's device, to be summed over ranks as it is. No
  // copy: summing in place is meant.
  torch::Tensor& sums() { return sums_; }
  // Updates the running statistics of all layers from sums(). No host synchronisation. REQUIRES: some rank added a
  // group.
  void commit();

  size_t layers() const { return layers_.size(); }

 private:
  std::vector<std::shared_ptr<BatchNorm2dImpl>> layers_;
  std::vector<int64_t> channels_;  // Of mean and variance of each layer, as they lie in `group_`.
  torch::Tensor group_;            // Statistics of the group being computed; the layers' views share its memory.
  torch::Tensor sums_;             // Weighted sums, and the weight in the last element.
};

// Calls synchronize() on every BatchNorm2d of a model.
void synchronize_batch_norm(torch::nn::Module& model, const SumOverRanks& sum);

// Calls fuse() on every BatchNorm2d of a model.
void fuse_batch_norm(torch::nn::Module& model, const std::shared_ptr<const FusedNorm>& fused);

}  // namespace imgtrain
