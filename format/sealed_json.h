// JSON files whose last key is the checksum of all the text before it:
//
//     "labels": […],
//     "checksum": "9f3c01aa5e20d7c4"
//   }
//
// The line is the same in every version, so that a damaged file is told from a newer one.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace imgpack {

// `body` is the document up to and with the comma and newline before the checksum line.
std::string seal_json(std::string body);

// Throws Error(kCorruption) where the last line is missing or does not match.
void check_seal(std::string_view text, const std::filesystem::path& path);

}  // namespace imgpack
