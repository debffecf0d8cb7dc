// The order in which a training run will first ask for the blocks of a dataset: what `verify --warm` reads in.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "format/verify.h"

namespace imgpack {

// Of split train, by the default sizes of blocks and partitions; empty where there is none or the dataset cannot be
// opened, which is for verify to report.
std::vector<VerifyBlock> training_order(const std::filesystem::path& dataset, uint64_t seed, uint64_t epoch);

}  // namespace imgpack
