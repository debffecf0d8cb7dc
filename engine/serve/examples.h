// Pictures that the page offers to try: read once, kept in memory, served by number.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "format/file.h"

namespace imgtrain::serve {

inline constexpr size_t kMaxExamples = 24;
inline constexpr uint64_t kMaxExampleBytes = uint64_t{4} << 20;

struct Example {
  std::string name;          // As it is shown.
  std::string content_type;  // `image/jpeg`
  std::string bytes;
};

// The JPEG, PNG and WebP files of a folder, by name. `warn` hears of those that are too large or too many. Throws
// Error(kInvalidInput) where there are none, Error(kIo).
std::vector<Example> read_examples(imgpack::FileSystem& fs, const std::filesystem::path& folder,
                                   const std::function<void(const std::string&)>& warn);

// A file name for each, ending as its type does, all different: `cat.jpg` and `cat.jpeg` become `cat.jpg`, `cat-2.jpg`.
std::vector<std::string> example_file_names(const std::vector<Example>& examples);

}  // namespace imgtrain::serve
