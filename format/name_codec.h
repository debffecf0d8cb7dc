// Names of records as class + number, with a fallback for any other name:
//
//   n01440764/n01440764_10026.JPEG  =  entry {"n01440764/n01440764_", ".JPEG", digits 0}, number 10026
//   ILSVRC2012_val_00000001.JPEG    =  entry {"ILSVRC2012_val_", ".JPEG", digits 8}, number 1
//   cats/whiskers.jpg               =  entry {"cats/whiskers.jpg", literal}
//
// The entries form a sorted dictionary. Of every label, one entry is the usual one; names that use their label's usual
// entry cost their number alone. docs/shard-format.md section "names group" has the bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "format/shard_index.h"

namespace imgpack {

// The raw names group of these columns taken one after another. Deterministic.
std::vector<std::byte> encode_names(std::span<const IndexColumns* const> parts);

// The largest raw names group that `records` names can need.
uint64_t max_raw_names_bytes(uint64_t records);

// `labels` are those of the records, in order. Throws Error(kCorruption) for a group that cannot be.
std::vector<std::string> decode_names(std::span<const std::byte> raw, std::span<const int32_t> labels,
                                      const std::filesystem::path& path, uint64_t offset);

}  // namespace imgpack
