// What the environment and AWS's shared files say: keys, region, endpoint. Pure: both are handed in.
//
//   AWS_* variables  ->  ~/.aws/credentials, ~/.aws/config (the profile)  ->  AwsSettings
//
// The order is that of the AWS command line. What stands in neither (a container's or a machine's role) is asked for by
// aws_credentials.h.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace imgpack::remote {

struct AwsKeys {
  std::string key_id, secret, token;  // The token is empty for keys that last.
  bool operator==(const AwsKeys&) const = default;
};

// Where settings come from. The process's own by default; tests hand in theirs.
struct AwsSurroundings {
  std::function<std::optional<std::string>(const std::string& name)> variable;             // Unset and empty: nullopt.
  std::function<std::optional<std::string>(const std::filesystem::path& file)> read_file;  // nullopt: not there.
};
AwsSurroundings process_surroundings();

struct AwsSettings {
  std::optional<AwsKeys> keys;
  std::string keys_from;  // For people: `the environment`, `profile default in /root/.aws/credentials`.
  // The profile asks for something that is not done here (sso, role_arn, credential_process): which, for a hint.
  std::string unsupported;
  std::string region;                          // Empty: not said.
  std::string endpoint;                        // Of the store, without a slash at its end; empty: AWS itself.
  std::string container_url;                   // Where a container's role is asked for; empty: not in such a container.
  std::string container_token;                 // Sent along as Authorization; may be empty.
  std::filesystem::path container_token_file;  // That holds it instead; replaced by whoever runs the container.
  std::string metadata_url;                    // Of the machine's metadata service; empty: not to be asked.
  std::string ca_bundle;                       // File of certificates to trust; empty: the system's.
};

// Throws Error(kUsage) for half a pair of keys, a profile that was asked for and is not there, an endpoint that is no
// http(s) URL, and a container's URL that AWS would not take either.
AwsSettings aws_settings(const AwsSurroundings& surroundings);

// What goes along as Authorization to the container's service: the file as it is now, or the variable. May be empty.
// Throws Error(kUsage) for one that could begin another header.
std::string container_authorization(const AwsSettings& settings, const AwsSurroundings& surroundings);

// The sections of an AWS file: name -> (key -> value), keys in lower case. `[profile x]` stands under `x`. Lines that
// are neither a section nor `key = value` are passed over, indented ones (nested settings) too.
std::map<std::string, std::map<std::string, std::string>> parse_aws_file(std::string_view text);

}  // namespace imgpack::remote
