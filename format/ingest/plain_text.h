// Words and numbers as people write them in lists, tables and file names. Pure functions.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

namespace imgpack::ingest {

// Without blanks at either end.
std::string_view trimmed(std::string_view text);

// ASCII letters in lower case, other bytes as they are, whatever the locale.
std::string lower_case(std::string_view text);

// Decimal digits and nothing else, at most `most`; nullopt for any other text.
std::optional<uint64_t> whole_number(std::string_view text, uint64_t most = std::numeric_limits<uint64_t>::max());

}  // namespace imgpack::ingest
