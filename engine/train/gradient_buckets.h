// The gradients of a model in flat memory, cut into buckets that can travel while backward still runs.
//
//   parameters, last first --> bucket 0 (small: communication starts early), bucket 1, …; every .grad is a view of one
#pragma once

#include <torch/torch.h>

#include <cstddef>
#include <cstdint>
#include <torch/csrc/distributed/c10d/Work.hpp>
#include <vector>

namespace imgtrain {

// Gradients of one step, one after another in memory, in the order in which backward makes them.
struct Bucket {
  torch::Tensor flat;
  size_t parameters = 0;
  size_t pending = 0;  // Of them, not yet ready in this backward pass.
  torch::Tensor wire;  // What travels, where that is not `flat` itself.
  c10::intrusive_ptr<c10d::Work> work;
};

// Knows nothing of communication. Not thread-safe.
class GradientBuckets {
 public:
  // A bucket holds at most so many bytes, or one parameter. Gives every parameter its gradient, with the parameter's
  // own strides. Throws Error(kInternal) for one whose memory has gaps.
  GradientBuckets(const std::vector<torch::Tensor>& parameters, uint64_t first_bucket_bytes, uint64_t bucket_bytes);

  void zero();
  std::vector<Bucket>& buckets() { return buckets_; }
  size_t bucket_of(size_t parameter) const { return bucket_of_.at(parameter); }

 private:
  void add_bucket(const std::vector<torch::Tensor>& parameters, size_t begin, size_t end);

  std::vector<Bucket> buckets_;
  std::vector<size_t> bucket_of_;
};

}  // namespace imgtrain
