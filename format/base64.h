// Base64 (RFC 4648, section 4), strictly: nothing but its alphabet, padded to whole groups, on one line. Pure
// functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace imgpack {

std::optional<std::string> from_base64(std::string_view text);  // nullopt: not base64.
std::string to_base64(std::string_view bytes);

}  // namespace imgpack
