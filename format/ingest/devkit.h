// The devkit's own labels: ILSVRC2012_validation_ground_truth.txt.
//
//   line n of 50,000: the ILSVRC2012_ID of ILSVRC2012_val_n     490, 361, 171, …
//   ID -> WNID: data/meta.mat, or derived                       490 -> n01751748, label 65
//
// These ids count from 1 in an order of their own. They are neither labels nor labels + 1: whoever takes them for these
// trains to 0.1 % accuracy. So an id is never used as a number here, only as the name of a class.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "format/ingest/label_table.h"

namespace imgpack::ingest {

// One id per line, 1 to kMaxDevkitId. Throws Error(kInvalidInput) with the line.
std::vector<uint32_t> parse_ground_truth(std::string_view text, const std::filesystem::path& path);
inline constexpr uint32_t kMaxDevkitId = 100'000;

using IdMap = std::unordered_map<uint32_t, std::string>;  // Id -> WNID.

// A companion of meta.mat as text: one class per line with its id and its WNID (`n` and eight digits), in either order,
// among any other columns, separated by blanks, commas or tabs. So map_clsloc.txt and a table saved from meta.mat are
// both read. A first line without them is a header. Throws Error(kInvalidInput) for a line that has only one of them,
// and where an id or a WNID comes twice with another partner.
IdMap parse_id_map(std::string_view text, const std::filesystem::path& path);

// The map that the file itself proves: the class of an id is the one that the built-in table gives most of its images.
// Throws Error(kInvalidInput) unless the file has 50,000 lines, the map is one-to-one on the 1,000 classes, and fewer
// than one line in ten contradicts it: then the file is of another set, and nothing can be derived.
IdMap derive_id_map(const std::vector<uint32_t>& ids, const std::filesystem::path& path);

// `ILSVRC2012_val_00000001` … -> WNID. Throws Error(kInvalidInput) for an id that the map lacks.
LabelTable ground_truth_table(const std::vector<uint32_t>& ids, const IdMap& map, const std::filesystem::path& path,
                              const std::string& map_origin);

}  // namespace imgpack::ingest
