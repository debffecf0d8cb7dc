// Quantities as people read them.
#pragma once

#include <cstdint>
#include <string>

namespace imgpack {

std::string format_bytes(uint64_t bytes);  // `1.5 GiB`, `512 MiB`, `17 B`: three significant digits.
std::string format_count(uint64_t count);  // `1,281,167`

}  // namespace imgpack
