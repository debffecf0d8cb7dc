// Keys for signing, wherever they come from, renewed before they end.
//
//   environment, shared files (aws_settings.h) -> container's role -> machine's role (IMDSv2) -> none: unsigned
//   requests
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "format/remote/aws_settings.h"
#include "format/remote/http_client.h"

namespace imgpack::remote {

struct AwsCredentials {
  std::optional<AwsKeys> keys;  // nullopt: there are none.
  std::string from;             // For people: `the machine's role trainer`; without keys, where was looked.
};

// What the container's and the machine's service answer with. nullopt: not that.
struct RoleCredentials {
  AwsKeys keys;
  std::optional<int64_t> expires;  // Seconds since 1970.
};
std::optional<RoleCredentials> parse_role_credentials(std::string_view json);
// `2026-11-29T19:30:00Z`, as AWS writes it. nullopt: not that.
std::optional<int64_t> parse_utc_time(std::string_view text);

// Thread-safe.
class CredentialSource {
 public:
  CredentialSource(HttpClient& http, AwsSettings settings, AwsSurroundings surroundings = process_surroundings());

  // Asks a role's service at the first call and again five minutes before what it gave ends. Without keys it says where
  // it looked. Throws Error(kIo) where a role was used before, its keys have ended and its service answers no more;
  // Error(kUsage) for a container's token that cannot be sent.
  AwsCredentials get();
  // The store has refused them as too old: the next get() looks again.
  void renew();
  std::string region();  // The settings', else the machine's own where its role is used, else us-east-1.

 private:
  AwsCredentials from_role();
  std::optional<std::string> metadata(const std::string& path);

  HttpClient& http_;
  const AwsSurroundings surroundings_;
  std::mutex mutex_;
  AwsSettings settings_;
  std::optional<AwsCredentials> known_;
  std::optional<int64_t> expires_;
  int64_t ask_again_ = 0;  // Not before this second, after the service gave none.
  bool role_worked_ = false;
  std::string metadata_token_, region_;
};

}  // namespace imgpack::remote
