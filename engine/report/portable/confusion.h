// Which classes a model takes for which: the confusion matrix, kept as its few entries that are not 0, and what a
// person can use of it when there are a thousand classes.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "engine/report/portable/prediction.h"
#include "engine/train/run/class_report.h"

namespace imgtrain {

struct Confusion {
  int32_t label = 0, predicted = 0;
  uint64_t images = 0;
};

// One thread.
class ConfusionMatrix {
 public:
  // Memory: an entry per pair that occurs, so never more than images. Throws Error(kInternal) for a class out of range.
  ConfusionMatrix(const std::vector<Prediction>& predictions, int64_t classes);

  int64_t classes() const { return classes_; }
  uint64_t at(int32_t label, int32_t predicted) const;
  const std::vector<ClassCount>& class_counts() const { return counts_; }  // In label order.
  uint64_t times_predicted(int32_t predicted) const { return predicted_[static_cast<size_t>(predicted)]; }

  // Wrong ones, most frequent first; ties by label, then predicted.
  std::vector<Confusion> most_confused(size_t count) const;
  // Of images of one class, most frequent first.
  std::vector<Confusion> taken_for(int32_t label, size_t count) const;

  // Classes for a matrix that fits a page: all of them up to `most`, in label order; else the `most` that take part in
  // the most frequent confusions, those that are confused with one another beside one another.
  std::vector<int32_t> telling_classes(size_t most) const;

 private:
  int64_t classes_;
  std::map<std::pair<int32_t, int32_t>, uint64_t> entries_;
  std::vector<ClassCount> counts_;
  std::vector<uint64_t> predicted_;
};

}  // namespace imgtrain
