// A label set: labels of one split beside those of its records, several per image where it has several. Evaluation uses
// ReaL's; a file `labels-NAME.json` of the dataset folder holds it, and the manifest its digest.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "format/file.h"
#include "format/manifest.h"

namespace imgpack {

struct LabelSet {
  std::string name;      // `real`
  std::string split;     // `val`
  uint32_t classes = 0;  // Labels lie in [0, classes).
  uint64_t ids = 0;      // ids_checksum() of the split's records: ties the set to them and their order.
  std::vector<std::vector<int32_t>> labels;  // Of every record in global record order, ascending; may be empty.
};

uint64_t ids_checksum(std::span<const uint64_t> ids);

// `labels-NAME.json`
std::string label_set_file_name(const std::string& name);

// Deterministic. Throws Error(kInvalidInput) for a set whose labels are out of range or order.
std::string to_json(const LabelSet& set);
LabelSet parse_label_set(std::string_view text, const std::filesystem::path& path);  // Throws Error(kCorruption).

LabelSetInfo publish_label_set(FileSystem& fs, const std::filesystem::path& dataset, const LabelSet& set);

// The set in a file's text. Throws Error(kCorruption) where that differs from its digest, its name or its split.
LabelSet check_label_set(std::string_view text, const LabelSetInfo& info, const std::filesystem::path& path);

// As check_label_set(), and Error(kIo) where there is no such file.
LabelSet read_label_set(FileSystem& fs, const std::filesystem::path& dataset, const LabelSetInfo& info);

// Makes the set part of a finished dataset, in place of one of its name: the file first, then the manifest, each by
// rename. Whatever interrupts, the dataset has the old set, none or the new one. False: it had this very set before.
// Throws Error(kInvalidInput) where the set is not for the records of its split.
bool add_label_set(FileSystem& fs, const std::filesystem::path& dataset, const LabelSet& set);

// Takes a set out: the manifest first. False: there is none of this name.
bool remove_label_set(FileSystem& fs, const std::filesystem::path& dataset, const std::string& name);

}  // namespace imgpack
