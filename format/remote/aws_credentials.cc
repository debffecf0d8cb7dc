#include "format/remote/aws_credentials.h"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <ctime>
#include <utility>

#include "format/error.h"

namespace imgpack::remote {
namespace {

namespace json = boost::json;

constexpr int64_t kRenewBefore_s = 300;
constexpr int64_t kAskAgain_s = 20;
// A service that is there answers within milliseconds; one that is not must not hold up a run without roles.
constexpr HttpLimits kServiceLimits{1, 2, 3, 64 << 10};
constexpr int kAttempts = 3;
constexpr const char* kRolePath = "/latest/meta-data/iam/security-credentials/";

int64_t now_s() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string text_member(const json::object& object, const char* key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

bool is_plain(const std::string& text) {
  for (const char c : text)
    if (static_cast<unsigned char>(c) <= 0x20 || static_cast<unsigned char>(c) >= 0x7f) return false;
  return true;
}

}  // namespace

std::optional<int64_t> parse_utc_time(std::string_view text) {
  std::tm parts{};
  const std::string copy(text);
  const char* end = strptime(copy.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (end == nullptr || (std::string_view(end) != "Z" && std::string_view(end) != "+00:00")) return std::nullopt;
  return timegm(&parts);
}

std::optional<RoleCredentials> parse_role_credentials(std::string_view text) {
  boost::system::error_code failure;
  const json::value value = json::parse(text, failure);
  if (failure || !value.is_object()) return std::nullopt;
  const json::object& object = value.get_object();
  RoleCredentials found{
      {text_member(object, "AccessKeyId"), text_member(object, "SecretAccessKey"), text_member(object, "Token")},
      parse_utc_time(text_member(object, "Expiration"))};
  const AwsKeys& keys = found.keys;
  if (keys.key_id.empty() || keys.secret.empty()) return std::nullopt;
  if (!is_plain(keys.key_id) || !is_plain(keys.secret) || !is_plain(keys.token)) return std::nullopt;
  return found;
}

CredentialSource::CredentialSource(HttpClient& http, AwsSettings settings, AwsSurroundings surroundings)
    : http_(http), surroundings_(std::move(surroundings)), settings_(std::move(settings)) {}

AwsCredentials CredentialSource::get() {
  const std::lock_guard lock(mutex_);
  const int64_t now = now_s();
  if (known_ && (!expires_ || now < *expires_ - kRenewBefore_s || now < ask_again_)) return *known_;
  if (settings_.keys) {
    known_ = AwsCredentials{settings_.keys, settings_.keys_from};
    expires_.reset();
    return *known_;
  }
  try {
    known_ = from_role();
  } catch (const Error&) {
    // As long as the old ones are good, the service may be away for a while.
    if (!known_ || !expires_ || now >= *expires_) throw;
    ask_again_ = std::min(now + kAskAgain_s, *expires_);
  }
  return *known_;
}

void CredentialSource::renew() {
  const std::lock_guard lock(mutex_);
  known_.reset();
  expires_.reset();
  metadata_token_.clear();
  // Whoever writes short-lived keys into the shared files writes new ones there.
  AwsSettings again = aws_settings(surroundings_);
  settings_.keys = std::move(again.keys);
  settings_.keys_from = std::move(again.keys_from);
}

std::string CredentialSource::region() {
  get();
  const std::lock_guard lock(mutex_);
  if (region_.empty()) region_ = settings_.region;
  if (region_.empty() && role_worked_ && settings_.container_url.empty())
    region_ = metadata("/latest/meta-data/placement/region").value_or("");
  if (region_.empty() || !is_plain(region_)) region_ = "us-east-1";
  return region_;
}

// One question to the machine's service. nullopt: it has no such thing, or does not answer.
std::optional<std::string> CredentialSource::metadata(const std::string& path) {
  HttpCall call;
  call.limits = kServiceLimits;
  call.no_proxy = true;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    if (metadata_token_.empty()) {
      call.method = HttpMethod::kPut;
      call.url = settings_.metadata_url + "/latest/api/token";
      call.headers = {"X-aws-ec2-metadata-token-ttl-seconds: 21600"};
      const HttpReply reply = http_.exchange(call);
      if (!reply.failure.empty() && reply.status == 0) return std::nullopt;
      if (!reply.failure.empty() || reply.status != 200 || reply.text.empty() || !is_plain(reply.text)) continue;
      metadata_token_ = reply.text;
    }
    call.method = HttpMethod::kGet;
    call.url = settings_.metadata_url + path;
    call.headers = {"X-aws-ec2-metadata-token: " + metadata_token_};
    const HttpReply reply = http_.exchange(call);
    if (reply.failure.empty() && reply.status == 200) return reply.text;
    if (reply.failure.empty() && reply.status == 404) return std::nullopt;
    if (reply.status == 401) metadata_token_.clear();
  }
  return std::nullopt;
}

AwsCredentials CredentialSource::from_role() {
  std::string looked = "none were found in the environment or the shared files";
  if (!settings_.unsupported.empty())
    looked += " (" + settings_.unsupported +
              " is not read here: `aws configure export-credentials --format env` turns "
              "it into variables)";
  std::optional<std::string> answer;
  std::string from;
  if (!settings_.container_url.empty()) {
    HttpCall call;
    call.url = settings_.container_url;
    call.limits = kServiceLimits;
    call.no_proxy = true;
    const std::string token = container_authorization(settings_, surroundings_);
    if (!token.empty()) call.headers = {"Authorization: " + token};
    for (int attempt = 0; attempt < kAttempts && !answer; ++attempt) {
      const HttpReply reply = http_.exchange(call);
      if (reply.failure.empty() && reply.status == 200) answer = reply.text;
    }
    from = "the container's role";
    looked += ", nor from the container's role at " + settings_.container_url;
  } else if (!settings_.metadata_url.empty()) {
    const auto role = metadata(kRolePath);
    if (role) {
      const std::string name = role->substr(0, role->find('\n'));
      answer = is_plain(name) ? metadata(kRolePath + name) : std::nullopt;
      from = "the machine's role " + name;
    }
    looked += ", nor from a role of this machine at " + settings_.metadata_url;
  }
  if (answer) {
    if (const auto found = parse_role_credentials(*answer)) {
      role_worked_ = true;
      expires_ = found->expires;
      return {found->keys, from};
    }
  }
  if (role_worked_)
    throw Error(ErrorKind::kIo, "the service that gave AWS credentials to this machine gives none any more: " + looked);
  return {std::nullopt, looked};
}

}  // namespace imgpack::remote
