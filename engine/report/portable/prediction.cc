#include "engine/report/portable/prediction.h"

#include <algorithm>
#include <iterator>

namespace imgtrain {

std::vector<Prediction> most_confidently_wrong(const std::vector<Prediction>& predictions, size_t count) {
  std::vector<Prediction> wrong;
  std::copy_if(predictions.begin(), predictions.end(), std::back_inserter(wrong),
               [](const Prediction& prediction) { return !prediction.right(); });
  std::sort(wrong.begin(), wrong.end(), [](const Prediction& a, const Prediction& b) {
    return a.confidence != b.confidence ? a.confidence > b.confidence : a.id < b.id;
  });
  if (wrong.size() > count) wrong.resize(count);
  return wrong;
}

}  // namespace imgtrain
