// What a model said about one image of a labelled split: the row that every number of a report is counted from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace imgtrain {

struct Prediction {
  uint64_t id = 0;              // sample_id() of the image.
  int32_t label = 0;            // By the split.
  int32_t predicted = 0;        // The class of the highest logit.
  float confidence = 0;         // Its softmax probability.
  float label_probability = 0;  // Softmax probability of the label.
  bool in_top5 = false;         // Whether the label is among the five highest.

  bool right() const { return predicted == label; }
};

// The `count` wrong ones whose confidence is highest, most confident first; ties by id, so that the order is the same
// on every machine.
std::vector<Prediction> most_confidently_wrong(const std::vector<Prediction>& predictions, size_t count);

}  // namespace imgtrain
