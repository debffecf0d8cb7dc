// The dataset that tests/golden/v1 holds: three splits, every kind of name, labels, sections and flags.
#pragma once

#include <filesystem>
#include <vector>

#include "format/file.h"
#include "tests/support/tiny_dataset.h"

namespace imgpack::test {

inline constexpr const char* kGoldenId = "06dd6942c9399b4d";  // Its dataset id, for ever.

std::vector<SplitRecords> golden_splits();

// Writes it into `folder`.
void write_golden_dataset(FileSystem& fs, const std::filesystem::path& folder);

// tests/golden/vN/tiny.shards of the current major version.
std::filesystem::path golden_folder();

// Writes tests/golden/vN again, unless the version is released: a file RELEASED beside it says so. Throws
// Error(kInvalidInput) then.
void update_golden(FileSystem& fs, const std::filesystem::path& version_folder);

}  // namespace imgpack::test
