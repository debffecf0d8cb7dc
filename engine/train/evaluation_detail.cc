#include "engine/train/evaluation_detail.h"

#include <algorithm>
#include <string>

#include "format/error.h"

namespace imgtrain {

using imgpack::Error;
using imgpack::ErrorKind;
using torch::Tensor;

RealLabels::RealLabels(const imgpack::LabelSet& set, const imgpack::SplitView& split, int64_t classes)
    : classes_(classes) {
  if (set.labels.size() != split.records() || set.ids != imgpack::ids_checksum(split.columns.id)) {
    throw Error(ErrorKind::kInvalidInput, "label set '" + set.name + "' is of other images: expected labels of the " +
                                              std::to_string(split.records()) + " records of split '" +
                                              split.info.name + "', found " + std::to_string(set.labels.size()));
  }
  if (static_cast<int64_t>(set.classes) != classes) {
    throw Error(ErrorKind::kInvalidInput, "label set '" + set.name + "': expected labels of " +
                                              std::to_string(classes) + " classes, found " +
                                              std::to_string(set.classes));
  }
  for (size_t i = 0; i < set.labels.size(); ++i)
    if (!set.labels[i].empty()) labels_[split.columns.id[i]] = set.labels[i];
}

Tensor RealLabels::rows(const uint64_t* ids, int64_t count) const {
  Tensor rows = torch::zeros({count, classes_}, torch::kBool);
  auto* values = rows.mutable_data_ptr<bool>();
  for (int64_t i = 0; i < count; ++i) {
    const auto found = labels_.find(ids[i]);
    if (found == labels_.end()) continue;
    for (const int32_t label : found->second) values[i * classes_ + label] = true;
  }
  return rows;
}

DetailCounts::DetailCounts(int64_t classes, const RealLabels* real, torch::Device device)
    : classes_(classes),
      real_(real),
      sums_(torch::zeros({3 * classes + 2}, torch::dtype(torch::kLong).device(device))) {}

void DetailCounts::add(const Tensor& logits, const Tensor& labels, const uint64_t* ids) {
  const torch::NoGradGuard no_grad;
  const Tensor highest = std::get<1>(logits.topk(std::min<int64_t>(5, logits.size(1)), /*dim=*/1));
  const Tensor hits = highest.eq(labels.unsqueeze(1));
  const Tensor columns =
      torch::stack({torch::ones_like(labels), hits.select(1, 0).to(torch::kLong), hits.any(/*dim=*/1).to(torch::kLong)},
                   /*dim=*/1);
  sums_.narrow(0, 0, 3 * classes_).view({classes_, 3}).index_add_(0, labels, columns);
  if (real_ == nullptr) return;
  const Tensor rows = real_->rows(ids, labels.size(0)).to(logits.device());
  const Tensor right = rows.gather(1, highest.narrow(1, 0, 1)).squeeze(1);
  sums_.narrow(0, 3 * classes_, 2).add_(torch::stack({rows.any(/*dim=*/1).sum(), right.sum()}));
}

std::vector<ClassCount> DetailCounts::classes() const {
  const Tensor host = sums_.cpu();
  const auto* values = host.const_data_ptr<int64_t>();
  std::vector<ClassCount> counts(static_cast<size_t>(classes_));
  for (size_t i = 0; i < counts.size(); ++i) {
    const int64_t* row = values + 3 * i;
    counts[i] = {static_cast<uint64_t>(row[0]), static_cast<uint64_t>(row[1]), static_cast<uint64_t>(row[2])};
  }
  return counts;
}

RealTotals DetailCounts::real() const {
  const Tensor host = sums_.cpu();
  const auto* values = host.const_data_ptr<int64_t>() + 3 * classes_;
  return {static_cast<uint64_t>(values[0]), static_cast<uint64_t>(values[1])};
}

void append_predictions(const Tensor& logits, const Tensor& labels, const uint64_t* ids,
                        std::vector<Prediction>& predictions) {
  const torch::NoGradGuard no_grad;
  const Tensor shares = logits.to(torch::kFloat).softmax(/*dim=*/1);
  const auto [confidence, predicted] = shares.max(/*dim=*/1);
  const Tensor of_label = shares.gather(1, labels.unsqueeze(1)).squeeze(1);
  const Tensor highest = std::get<1>(logits.topk(std::min<int64_t>(5, logits.size(1)), /*dim=*/1));
  const Tensor in_top5 = highest.eq(labels.unsqueeze(1)).any(/*dim=*/1);
  // One copy to the host; doubles hold all of it exactly.
  const Tensor rows =
      torch::stack({labels.to(torch::kDouble), predicted.to(torch::kDouble), confidence.to(torch::kDouble),
                    of_label.to(torch::kDouble), in_top5.to(torch::kDouble)},
                   /*dim=*/1)
          .cpu()
          .contiguous();
  const auto* values = rows.const_data_ptr<double>();
  for (int64_t i = 0; i < labels.size(0); ++i, values += 5) {
    predictions.push_back({ids[i], static_cast<int32_t>(values[0]), static_cast<int32_t>(values[1]),
                           static_cast<float>(values[2]), static_cast<float>(values[3]), values[4] != 0});
  }
}

}  // namespace imgtrain
