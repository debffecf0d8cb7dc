#include "format/remote/remote_url.h"

#include <algorithm>
#include <cctype>
#include <optional>

#include "format/error.h"

namespace imgpack::remote {
namespace {

constexpr const char* kExpected = "expected s3://BUCKET/PREFIX, https://HOST/PATH or http://HOST/PATH";

[[noreturn]] void refuse(const std::string& what, const std::string& text) {
  throw Error(ErrorKind::kUsage, "'" + text + "': " + what);
}

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); });
  return result;
}

std::optional<Scheme> scheme_of(std::string_view text) {
  const size_t end = text.find("://");
  if (end == std::string_view::npos) return std::nullopt;
  const std::string scheme = lower(text.substr(0, end));
  if (scheme == "s3") return Scheme::kS3;
  if (scheme == "https") return Scheme::kHttps;
  if (scheme == "http") return Scheme::kHttp;
  return std::nullopt;
}

bool plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_' || c == '~';
}

void append_encoded(std::string& to, char c) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  const auto byte = static_cast<unsigned char>(c);
  to += '%';
  to += kDigits[byte >> 4];
  to += kDigits[byte & 15];
}

// AWS's rule, and what other stores allow beside it: capitals and underscores. Nothing that could leave the host name.
bool is_bucket_name(std::string_view name) {
  if (name.size() < 3 || name.size() > 255 || name.front() == '.' || name.back() == '.') return false;
  return std::all_of(name.begin(), name.end(), [](char c) { return plain(c) && c != '~'; }) &&
         name.find("..") == std::string_view::npos;
}

}  // namespace

bool is_remote(const std::filesystem::path& path) {
  return scheme_of(path.native()).has_value();
}

RemoteUrl parse_remote_url(const std::filesystem::path& given) {
  const std::string& text = given.native();
  const auto scheme = scheme_of(text);
  if (!scheme) refuse(kExpected, text);
  RemoteUrl url;
  url.scheme = *scheme;
  const std::string_view rest = std::string_view(text).substr(text.find("://") + 3);
  const size_t slash = std::min(rest.find('/'), rest.size());
  url.host = rest.substr(0, slash);
  std::string_view path = rest.substr(slash);
  while (!path.empty() && path.front() == '/') path.remove_prefix(1);
  while (!path.empty() && path.back() == '/') path.remove_suffix(1);
  url.path = path;
  if (std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }))
    refuse("control characters in a URL", text);
  if (url.is_s3()) {
    if (url.host.empty()) refuse(std::string("no bucket: ") + kExpected, text);
    if (!is_bucket_name(url.host))
      refuse("'" + url.host + "' is no bucket name: expected 3 or more letters, digits, '-', '.' and '_'", text);
    return url;
  }
  if (url.host.empty()) refuse(std::string("no host: ") + kExpected, text);
  // The text is not repeated: what stands before the `@` is a password.
  if (url.host.find('@') != std::string::npos)
    throw Error(ErrorKind::kUsage, "a user name in a URL is not taken: it would stand in every log");
  if (text.find_first_of("?#") != std::string::npos)
    refuse("a folder's URL has no query and no fragment: file names are appended to it",
           text.substr(0, text.find_first_of("?#")));
  return url;
}

std::string percent_encode(std::string_view text, bool keep_slashes) {
  std::string result;
  result.reserve(text.size());
  for (const char c : text) {
    if (plain(c) || (keep_slashes && c == '/')) {
      result += c;
    } else {
      append_encoded(result, c);
    }
  }
  return result;
}

std::string encode_given_path(std::string_view path) {
  constexpr std::string_view kAllowed = "%/!$&'()*+,;=:@";
  std::string result;
  result.reserve(path.size());
  for (const char c : path) {
    if (plain(c) || kAllowed.find(c) != std::string_view::npos) {
      result += c;
    } else {
      append_encoded(result, c);
    }
  }
  return result;
}

}  // namespace imgpack::remote
