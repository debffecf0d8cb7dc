// Names come from file systems and archives, where a name is any bytes; the format and JSON want UTF-8.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace imgpack {

// Length of the well-formed UTF-8 sequence at the start of `text` (Unicode 15, table 3-7), 0 if there is none.
size_t utf8_sequence(std::string_view text);

// `text` with every byte that is not part of well-formed UTF-8 written as \xNN: for messages and reports.
std::string to_printable_utf8(std::string_view text);

}  // namespace imgpack
