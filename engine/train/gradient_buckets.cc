#include "engine/train/gradient_buckets.h"

#include <algorithm>
#include <utility>

#include "format/error.h"

namespace imgtrain {
namespace {

// Numbers between the starts of two gradients in a bucket: each starts on a cache line, as an allocation would.
constexpr int64_t kAlignNumbers = 16;

}  // namespace

using imgpack::Error;
using imgpack::ErrorKind;
using torch::Tensor;

GradientBuckets::GradientBuckets(const std::vector<Tensor>& parameters, uint64_t first_bucket_bytes,
                                 uint64_t bucket_bytes) {
  // Backward reaches the last layer first.
  for (size_t end = parameters.size(); end > 0;) {
    const uint64_t limit = buckets_.empty() ? first_bucket_bytes : bucket_bytes;
    size_t begin = end;
    uint64_t bytes = 0;
    while (begin > 0 && parameters[begin - 1].options().type_equal(parameters[end - 1].options()) &&
           (begin == end || bytes + parameters[begin - 1].nbytes() <= limit))
      bytes += parameters[--begin].nbytes();
    add_bucket(parameters, begin, end);
    end = begin;
  }
}

void GradientBuckets::zero() {
  for (Bucket& bucket : buckets_) bucket.flat.zero_();
}

void GradientBuckets::add_bucket(const std::vector<Tensor>& parameters, size_t begin, size_t end) {
  int64_t numbers = 0;
  std::vector<int64_t> offsets;
  for (size_t i = end; i-- > begin;) {
    offsets.push_back(numbers);
    numbers += (parameters[i].numel() + kAlignNumbers - 1) / kAlignNumbers * kAlignNumbers;
  }
  Bucket bucket;
  bucket.flat = torch::zeros({numbers}, parameters[begin].options().requires_grad(false));
  bucket.parameters = end - begin;
  bucket_of_.resize(std::max(bucket_of_.size(), end));
  for (size_t i = end; i-- > begin;) {
    const Tensor& parameter = parameters[i];
    if (!parameter.is_non_overlapping_and_dense())
      throw Error(ErrorKind::kInternal, "a parameter's memory has gaps: its gradient cannot lie in a bucket");
    // The same strides as the parameter, so that channels-last weights get channels-last gradients.
    Tensor owner = parameter;
    owner.mutable_grad() = bucket.flat.as_strided(parameter.sizes(), parameter.strides(), offsets[end - 1 - i]);
    bucket_of_[i] = buckets_.size();
  }
  buckets_.push_back(std::move(bucket));
}

}  // namespace imgtrain
