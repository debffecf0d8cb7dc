// Which records of a dataset a verb is about, by split, class and name.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "format/dataset.h"
#include "format/record.h"
#include "tools/cli/arguments.h"

namespace imgpack {

std::vector<cli::Option> selection_options();  // --split, --class

struct SelectedRecord {
  const SplitView* split = nullptr;
  uint64_t record = 0;  // In the split's global order.
};

// In the order of splits and records. `names` as `split/name` or the name alone; empty: all. Throws Error(kUsage) for a
// class that the dataset lacks, Error(kInvalidInput) for a split or name that it lacks.
std::vector<SelectedRecord> select_records(const Dataset& dataset, const cli::Arguments& arguments,
                                           const std::vector<std::string>& names = {});

// Reads the selected records in turn, each shard opened once where they are in order.
void for_each_record(FileSystem& fs, const Dataset& dataset, const std::vector<SelectedRecord>& records,
                     const std::function<void(const SelectedRecord&, const RecordView&)>& use);

std::string flag_names(uint32_t flags);                         // `gray,converted`, or `-`.
std::string class_name(const Dataset& dataset, int32_t label);  // `n01440764`, or `-` for no label.

}  // namespace imgpack
