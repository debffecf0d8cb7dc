// Quantities as people write and read them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "format/quantity_text.h"

namespace imgpack::cli {

// `65536`, `512MiB`, `512M` (both binary), `1.5GiB`, `100MB` (decimal), case ignored. nullopt: not a size, not a whole
// number of bytes after scaling, or above 2^63.
std::optional<uint64_t> parse_bytes(std::string_view text);

using imgpack::format_bytes;
using imgpack::format_count;
std::string format_seconds(double seconds);  // `8.4 s`, `3:07`, `2:05:33`, `4d 02:05`; `?` if not a finite time.
std::string format_real(double value);       // Shortest text that reads back the same.

}  // namespace imgpack::cli
