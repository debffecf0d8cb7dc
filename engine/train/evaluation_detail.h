// What an evaluation counts beyond the totals, on the device: images and hits of every class, and hits by ReaL labels.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "engine/report/portable/prediction.h"
#include "engine/train/run/class_report.h"
#include "format/dataset.h"
#include "format/label_set.h"

namespace imgtrain {

// A label set looked up by sample id. Throws Error(kInvalidInput) for one that is not of this split or of other
// classes.
class RealLabels {
 public:
  RealLabels(const imgpack::LabelSet& set, const imgpack::SplitView& split, int64_t classes);
  // bool, ids x classes, on the host: which classes count as right. A row without any: the image has no ReaL label.
  torch::Tensor rows(const uint64_t* ids, int64_t count) const;

 private:
  std::unordered_map<uint64_t, std::vector<int32_t>> labels_;
  int64_t classes_;
};

// One thread.
class DetailCounts {
 public:
  // `real` may be null; it outlives this.
  DetailCounts(int64_t classes, const RealLabels* real, torch::Device device);
  void add(const torch::Tensor& logits, const torch::Tensor& labels, const uint64_t* ids);
  // int64, on the device: classes x {images, top-1, top-5}, then {ReaL images, ReaL hits}; to be summed over ranks.
  torch::Tensor& sums() { return sums_; }
  std::vector<ClassCount> classes() const;
  RealTotals real() const;

 private:
  int64_t classes_;
  const RealLabels* real_;
  torch::Tensor sums_;
};

// Adds a row for every image of a batch. `ids`: as many as there are labels, on the host. Waits for the device.
void append_predictions(const torch::Tensor& logits, const torch::Tensor& labels, const uint64_t* ids,
                        std::vector<Prediction>& predictions);

}  // namespace imgtrain
