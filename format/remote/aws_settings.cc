#include "format/remote/aws_settings.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <fstream>
#include <utility>

#include "format/error.h"

namespace imgpack::remote {
namespace {

using Section = std::map<std::string, std::string>;

// The files are a few hundred bytes; a token's file is a few thousand.
constexpr size_t kMaxFileBytes = 1 << 20;
constexpr const char* kMetadataUrl = "http://169.254.169.254";

std::string_view trimmed(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); });
  return result;
}

std::string get(const Section& section, const std::string& key) {
  const auto found = section.find(key);
  return found == section.end() ? std::string() : found->second;
}

// A key or a token goes into a header: a line end in it would begin another header.
void require_plain(const std::string& text, const std::string& what) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) <= 0x20 || static_cast<unsigned char>(c) >= 0x7f)
      throw Error(ErrorKind::kUsage, what + ": expected printable characters without blanks");
  }
}

std::string checked_url(std::string url, const std::string& name) {
  while (!url.empty() && url.back() == '/') url.pop_back();
  const bool good = (url.starts_with("http://") || url.starts_with("https://")) &&
                    url.find_first_of("?#@ \t\r\n") == std::string::npos && url.size() > url.find("://") + 3;
  if (!good)
    throw Error(ErrorKind::kUsage, name + ": expected http://HOST[:PORT] or https://HOST, found '" + url + "'");
  return url;
}

class Reader {
 public:
  explicit Reader(const AwsSurroundings& surroundings) : surroundings_(surroundings) { read_profile(); }

  AwsSettings settings() {
    AwsSettings result;
    read_keys(result);
    result.region = first({variable("AWS_REGION"), variable("AWS_DEFAULT_REGION"), profile("region")});
    if (!std::all_of(result.region.begin(), result.region.end(),
                     [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-'; }))
      throw Error(ErrorKind::kUsage, "AWS region: expected letters, digits and '-', found '" + result.region + "'");
    for (const char* name : {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"}) {
      if (result.endpoint.empty() && !variable(name).empty()) result.endpoint = checked_url(variable(name), name);
    }
    if (result.endpoint.empty() && !profile("endpoint_url").empty())
      result.endpoint = checked_url(profile("endpoint_url"), "endpoint_url of profile " + name_);
    result.ca_bundle = first({variable("AWS_CA_BUNDLE"), profile("ca_bundle")});
    read_container(result);
    if (lower(variable("AWS_EC2_METADATA_DISABLED")) != "true") {
      const std::string endpoint = variable("AWS_EC2_METADATA_SERVICE_ENDPOINT");
      result.metadata_url =
          endpoint.empty() ? kMetadataUrl : checked_url(endpoint, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
    }
    return result;
  }

 private:
  std::string variable(const std::string& name) const { return surroundings_.variable(name).value_or(std::string()); }
  std::string profile(const std::string& key) const { return first({get(credentials_, key), get(config_, key)}); }
  static std::string first(std::initializer_list<std::string> texts) {
    for (const std::string& text : texts)
      if (!text.empty()) return text;
    return {};
  }

  std::filesystem::path file(const char* name_variable, const char* usual) const {
    const std::string named = variable(name_variable);
    if (!named.empty()) return named;
    const std::string home = variable("HOME");
    return home.empty() ? std::filesystem::path() : std::filesystem::path(home) / ".aws" / usual;
  }

  void read_profile() {
    const std::string wanted = first({variable("AWS_PROFILE"), variable("AWS_DEFAULT_PROFILE")});
    name_ = wanted.empty() ? "default" : wanted;
    credentials_file_ = file("AWS_SHARED_CREDENTIALS_FILE", "credentials");
    config_file_ = file("AWS_CONFIG_FILE", "config");
    bool found = false;
    const auto read = [&](const std::filesystem::path& path, Section& to) {
      const auto text = path.empty() ? std::nullopt : surroundings_.read_file(path);
      if (!text) return;
      const auto sections = parse_aws_file(*text);
      if (const auto section = sections.find(name_); section != sections.end()) {
        to = section->second;
        found = true;
      }
    };
    read(credentials_file_, credentials_);
    read(config_file_, config_);
    // Keys of the environment need no profile, but a name that is nowhere is a slip of the pen all the same.
    if (!found && !wanted.empty()) {
      throw Error(ErrorKind::kUsage, "AWS profile '" + wanted + "' is neither in " + credentials_file_.string() +
                                         " nor in " + config_file_.string());
    }
  }

  void read_keys(AwsSettings& result) const {
    const auto take = [&](const std::string& id, const std::string& secret, const std::string& token,
                          const std::string& from) {
      if (id.empty() && secret.empty()) return false;
      if (id.empty() || secret.empty())
        throw Error(ErrorKind::kUsage,
                    "half a pair of AWS keys in " + from + ": expected an access key id and a secret");
      require_plain(id, "AWS access key id");
      require_plain(secret, "AWS secret access key");
      require_plain(token, "AWS session token");
      result.keys = AwsKeys{id, secret, token};
      result.keys_from = from;
      return true;
    };
    if (take(variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY"), variable("AWS_SESSION_TOKEN"),
             "the environment"))
      return;
    for (const auto& [section, path] :
         {std::pair(&credentials_, &credentials_file_), std::pair(&config_, &config_file_)}) {
      if (take(get(*section, "aws_access_key_id"), get(*section, "aws_secret_access_key"),
               get(*section, "aws_session_token"), "profile " + name_ + " in " + path->string()))
        return;
    }
    if (!variable("AWS_WEB_IDENTITY_TOKEN_FILE").empty()) result.unsupported = "AWS_WEB_IDENTITY_TOKEN_FILE";
    for (const char* key : {"role_arn", "credential_process", "sso_session", "sso_start_url"})
      if (!profile(key).empty()) result.unsupported = std::string(key) + " of profile " + name_;
  }

  // Over plain HTTP only to hosts that AWS itself names, and to this machine: the token must not go anywhere else.
  void read_container(AwsSettings& result) const {
    const std::string relative = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const std::string full = variable("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    if (!relative.empty()) {
      result.container_url = "http://169.254.170.2" + relative;
    } else if (!full.empty()) {
      const std::string host = full.starts_with("http://") ? full.substr(7, full.find_first_of(":/", 7) - 7) : "";
      const bool local = host == "127.0.0.1" || host == "localhost" || host == "169.254.170.2" ||
                         host == "169.254.170.23" || full.starts_with("http://[::1]") ||
                         full.starts_with("http://[fd00:ec2::23]");
      if ((!full.starts_with("https://") && !local) || full.find('@') != std::string::npos) {
        throw Error(ErrorKind::kUsage,
                    "AWS_CONTAINER_CREDENTIALS_FULL_URI: expected https, or http to this machine or to AWS's own "
                    "address, found '" +
                        full + "'");
      }
      result.container_url = full;
    }
    if (result.container_url.empty()) return;
    require_plain(result.container_url, "URL of the container's credentials");
    result.container_token = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    result.container_token_file = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
  }

  const AwsSurroundings& surroundings_;
  std::string name_;
  std::filesystem::path credentials_file_, config_file_;
  Section credentials_, config_;  // Of the profile.
};

}  // namespace

AwsSurroundings process_surroundings() {
  return {[](const std::string& name) -> std::optional<std::string> {
            const char* value = std::getenv(name.c_str());
            if (value == nullptr || *value == 0) return std::nullopt;
            return std::string(value);
          },
          // Not through the seam: they are no files of ours, and /dev/null is a usual one.
          [](const std::filesystem::path& file) -> std::optional<std::string> {
            std::ifstream in(file, std::ios::binary);
            if (!in) return std::nullopt;
            std::string text(kMaxFileBytes, '\0');
            in.read(text.data(), static_cast<std::streamsize>(text.size()));
            text.resize(static_cast<size_t>(in.gcount()));
            return text;
          }};
}

std::map<std::string, std::map<std::string, std::string>> parse_aws_file(std::string_view text) {
  std::map<std::string, Section> sections;
  Section* current = nullptr;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view whole = text.substr(0, end), line = trimmed(whole);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() == '#' || line.front() == ';') continue;
    if (line.front() == '[') {
      std::string_view name =
          trimmed(line.substr(1, line.find(']') == std::string_view::npos ? 0 : line.find(']') - 1));
      if (name.starts_with("profile ") || name.starts_with("profile\t")) name = trimmed(name.substr(8));
      current = name.empty() ? nullptr : &sections[std::string(name)];
      continue;
    }
    const size_t equals = line.find('=');
    const bool nested = whole.front() == ' ' || whole.front() == '\t';
    if (current == nullptr || nested || equals == std::string_view::npos) continue;
    (*current)[lower(trimmed(line.substr(0, equals)))] = trimmed(line.substr(equals + 1));
  }
  return sections;
}

std::string container_authorization(const AwsSettings& settings, const AwsSurroundings& surroundings) {
  std::string token = settings.container_token;
  if (const auto& file = settings.container_token_file; !file.empty())
    token = trimmed(surroundings.read_file(file).value_or(std::string()));
  for (const char c : token) {
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) == 0x7f)
      throw Error(ErrorKind::kUsage, "token for the container's credentials: expected one line of printable characters",
                  settings.container_token_file);
  }
  return token;
}

AwsSettings aws_settings(const AwsSurroundings& surroundings) {
  return Reader(surroundings).settings();
}

}  // namespace imgpack::remote
