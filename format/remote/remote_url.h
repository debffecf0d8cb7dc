// Where a dataset that is not on a disk lies: `s3://BUCKET/PREFIX`, `https://HOST/PATH`, `http://HOST/PATH`. Pure.
//
// A RemoteUrl is a path like any other to the rest of the program: std::filesystem::path keeps the text as it is, and
// `folder / "manifest.json"` is the object's URL.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace imgpack::remote {

enum class Scheme { kS3, kHttps, kHttp };

struct RemoteUrl {
  Scheme scheme = Scheme::kS3;
  std::string host;  // Bucket; or HOST[:PORT].
  std::string path;  // Key, as it is; or the path as it was given. Without slashes at its ends.

  bool is_s3() const { return scheme == Scheme::kS3; }
};

// Whether the text begins with a scheme of ours, in any case of letters.
bool is_remote(const std::filesystem::path& path);

// Throws Error(kUsage) for another scheme, no bucket or host, a bucket name that cannot be one, user names, queries and
// fragments.
RemoteUrl parse_remote_url(const std::filesystem::path& path);

// RFC 3986: everything but letters, digits and `-._~` becomes %XX; with `keep_slashes`, `/` stays too.
std::string percent_encode(std::string_view text, bool keep_slashes);

// What is asked of a server for a path that a person wrote: characters that no URL may hold become %XX, `%` stays.
std::string encode_given_path(std::string_view path);

}  // namespace imgpack::remote
