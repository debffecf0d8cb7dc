// What an evaluation says class by class, and by ReaL labels.
//
// ReaL (Beyer et al., arXiv 2006.07159) gives an image every label that fits it, or none: top-1 is right if it is any
// of them; an image without labels is left out of the ReaL accuracy.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "format/manifest.h"

namespace imgtrain {

struct ClassCount {
  uint64_t images = 0, top1 = 0, top5 = 0;  // By the split's own labels.
  bool operator==(const ClassCount&) const = default;
};

struct RealTotals {
  uint64_t images = 0;  // With at least one ReaL label.
  uint64_t top1 = 0;
  double percent() const { return images == 0 ? 0 : 100.0 * static_cast<double>(top1) / static_cast<double>(images); }
  bool operator==(const RealTotals&) const = default;
};

// class,name,images,top1,top5,accuracy,accuracy_top5: one line per class in label order. `classes` and `counts` have
// the same length. Accuracies of a class without images are empty.
std::string class_csv(const std::vector<imgpack::ClassInfo>& classes, const std::vector<ClassCount>& counts);

}  // namespace imgtrain
