// A new dataset out of a part of another: some classes, some splits, a split held out of train.
//
//   train 1,281,167  --hold out 50 per class-->  train 1,231,167 + holdout 50,000
//
// Which records go where is a pure function of names, labels and a seed: the same for any pack of the same images.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "format/dataset.h"
#include "format/file.h"
#include "format/manifest.h"

namespace imgpack {

// Of every class of `from`, the records of the smallest draws go to the new split `to`.
struct HoldOut {
  std::string from = "train";
  std::string to = "holdout";
  double share = 0;        // Of every class, to the nearest record; used where per_class is 0.
  uint64_t per_class = 0;  // At most so many records.
  uint64_t seed = 0;
};

struct SplitDatasetOptions {
  std::vector<std::string> splits = {};  // To keep; empty: all.
  std::vector<std::string> classes =
      {};  // To keep, by WNID; numbered anew in sorted order. Empty: all, with their labels.
  std::optional<HoldOut> hold_out = {};
  std::string created_by = {};
  std::function<void()> on_record = {};  // Called for every record written; may throw to stop.
};

// Positions of the records that are held out, ascending. REQUIRES: the split is labeled.
std::vector<uint64_t> held_out(const SplitView& split, const HoldOut& rule);

// Records keep their images and entropy indexes; those that change split get the id and place that follow. Label sets
// go along with splits whose records all stay in them. OUT appears whole or not at all. REQUIRES: `source` was opened
// with names. Throws Error(kInvalidInput) for a split or class that is not there, a rule that takes nothing, and an OUT
// with something in it; Error(kCorruption), Error(kIo).
Manifest split_dataset(FileSystem& fs, const Dataset& source, const std::filesystem::path& out,
                       const SplitDatasetOptions& options);

}  // namespace imgpack
