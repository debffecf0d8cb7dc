// ReaL: the reassessed labels of the ILSVRC2012 validation set, several per image, for evaluation beside the first
// ones.
//
//   real.json: [[], [970, 795], …]  50,000 rows of class indices  --> LabelSet `real` of split val
//
// From "Are we done with ImageNet?" (Beyer et al., 2020). An image with an empty row is not counted by ReaL accuracy.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "format/dataset.h"
#include "format/label_set.h"

namespace imgpack::ingest {

using RealRows = std::vector<std::vector<int32_t>>;  // Row n - 1 is that of ILSVRC2012_val_n; ascending, none twice.

// Throws Error(kInvalidInput) naming the row: anything but 50,000 arrays of class indices below 1,000.
RealRows parse_real_labels(std::string_view text, const std::filesystem::path& path);

// For the validation images of a split, whatever their order; indices become labels of the dataset by WNID, and those
// of classes that it lacks are left out. Throws Error(kInvalidInput) where an image is none of ILSVRC2012's validation
// set, or where the rows contradict the dataset's own labels on more than half of the images: then they are other
// images of the same names. REQUIRES: `dataset` was opened with names.
LabelSet make_real_set(const Dataset& dataset, const std::string& split, const RealRows& rows,
                       const std::string& name = "real");

}  // namespace imgpack::ingest
