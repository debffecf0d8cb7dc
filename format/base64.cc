#include "format/base64.h"

#include <boost/beast/core/detail/base64.hpp>

namespace imgpack {

namespace base64 = boost::beast::detail::base64;

std::optional<std::string> from_base64(std::string_view text) {
  constexpr size_t kGroup = 4;
  if (text.size() % kGroup != 0) return std::nullopt;
  size_t letters = text.size();
  while (letters > 0 && text.size() - letters < 2 && text[letters - 1] == '=') --letters;
  std::string bytes(base64::decoded_size(text.size()), '\0');
  const auto [written, read] = base64::decode(bytes.data(), text.data(), letters);
  if (read != letters) return std::nullopt;
  bytes.resize(written);
  return bytes;
}

std::string to_base64(std::string_view bytes) {
  std::string text(base64::encoded_size(bytes.size()), '\0');
  text.resize(base64::encode(text.data(), bytes.data(), bytes.size()));
  return text;
}

}  // namespace imgpack
