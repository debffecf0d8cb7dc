// Bytes as text, for pictures inside a page.
#pragma once

#include <string>
#include <string_view>

namespace imgtrain {

// RFC 4648, section 4, with padding, on one line.
std::string base64(std::string_view bytes);

// `data:image/jpeg;base64,…`
std::string data_uri(std::string_view type, std::string_view bytes);

}  // namespace imgtrain
