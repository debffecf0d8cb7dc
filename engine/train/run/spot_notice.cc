#include "engine/train/run/spot_notice.h"

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <cstdlib>
#include <optional>
#include <utility>

#include "engine/train/run/http_exchange.h"
#include "format/error.h"

namespace imgtrain {
namespace {

// Answers of the service are a few hundred bytes.
constexpr size_t kMaxAnswerBytes = 64 << 10;
// Unanswered first questions after which there is no such service here.
constexpr int kAttempts = 3;

constexpr const char* kTokenPath = "/latest/api/token";
constexpr const char* kActionPath = "/latest/meta-data/spot/instance-action";
constexpr const char* kRebalancePath = "/latest/meta-data/events/recommendations/rebalance";

// One exchange with the metadata service; a new connection each time, since it is asked once in seconds.
class MetadataClient {
 public:
  MetadataClient(HttpEndpoint endpoint, const SpotWatchOptions& options)
      : endpoint_(std::move(endpoint)), options_(options) {}

  // nullopt: no answer within the time, or none that is HTTP.
  std::optional<HttpAnswer> get(const char* path) {
    if (token_.empty() || std::chrono::steady_clock::now() >= renew_at_) {
      if (!fetch_token()) return std::nullopt;
    }
    std::optional<HttpAnswer> answer = exchange("GET", path, "X-aws-ec2-metadata-token", token_);
    // The token may have been forgotten by a service that was restarted.
    if (answer && answer->status == 401) {
      if (!fetch_token()) return std::nullopt;
      answer = exchange("GET", path, "X-aws-ec2-metadata-token", token_);
    }
    return answer;
  }

 private:
  bool fetch_token() {
    const auto life = options_.token_life;
    const auto answer =
        exchange("PUT", kTokenPath, "X-aws-ec2-metadata-token-ttl-seconds", std::to_string(life.count()));
    if (!answer || answer->status != 200 || answer->body.empty()) return false;
    token_ = answer->body;
    renew_at_ = std::chrono::steady_clock::now() + life / 2;
    return true;
  }

  std::optional<HttpAnswer> exchange(const char* method, const char* path, const char* header,
                                     const std::string& value) const {
    return http_exchange(endpoint_, {method, path, {{header, value}}, {}}, options_.timeout, kMaxAnswerBytes);
  }

  const HttpEndpoint endpoint_;
  const SpotWatchOptions& options_;
  std::string token_;
  std::chrono::steady_clock::time_point renew_at_;
};

std::string text_member(const boost::json::object& object, const char* key) {
  const boost::json::value* value = object.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

std::optional<boost::json::object> parse_object(const std::string& text) {
  boost::system::error_code failure;
  boost::json::value value = boost::json::parse(text, failure);
  if (failure || !value.is_object()) return std::nullopt;
  return std::move(value.get_object());
}

}  // namespace

SpotWatchOptions spot_watch_from_environment() {
  SpotWatchOptions options;
  if (const char* endpoint = std::getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT"); endpoint != nullptr && *endpoint != 0) {
    options.endpoint = endpoint;
    options.expected = true;
  }
  if (const char* disabled = std::getenv("AWS_EC2_METADATA_DISABLED"))
    options.disabled = std::string(disabled) == "true";
  return options;
}

SpotNoticeWatcher::SpotNoticeWatcher(SpotWatchOptions options, NoticeHandler notice, Warn warn)
    : options_(std::move(options)), notice_(std::move(notice)), warn_(std::move(warn)) {
  if (options_.disabled) return;
  const auto endpoint = parse_http_endpoint(options_.endpoint);
  if (!endpoint) {
    throw imgpack::Error(
        imgpack::ErrorKind::kUsage,
        "AWS_EC2_METADATA_SERVICE_ENDPOINT: expected http://HOST:PORT, found '" + options_.endpoint + "'");
  }
  endpoint_ = *endpoint;
  thread_ = std::thread([this] { watch(); });
}

SpotNoticeWatcher::~SpotNoticeWatcher() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  ending_changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

bool SpotNoticeWatcher::sleep() {
  std::unique_lock lock(mutex_);
  return !ending_changed_.wait_for(lock, options_.poll, [this] { return ending_; });
}

void SpotNoticeWatcher::watch() {
  MetadataClient client(endpoint_, options_);
  bool answered = false, warned = false, rebalance_told = false;
  int unanswered = 0;
  // An answer that cannot be used is worth one warning until a usable one comes.
  const auto trouble = [&](const std::string& what) {
    if (!std::exchange(warned, true)) warn_(what + ": an interruption of this machine may go unnoticed");
  };
  do {
    const auto action = client.get(kActionPath);
    if (!action) {
      if (!answered && !options_.expected && ++unanswered == kAttempts) return;
      if (answered || options_.expected) trouble("the instance metadata service gives no answer");
      continue;
    }
    answered = true;
    if (action->status == 200) {
      if (const auto object = parse_object(action->body)) {
        notice_({SpotNotice::Kind::kInterruption, text_member(*object, "action"), text_member(*object, "time")});
        return;
      }
      trouble("the interruption notice cannot be read");
      continue;
    }
    if (action->status != 404) {
      trouble("the instance metadata service answers with status " + std::to_string(action->status));
      continue;
    }
    warned = false;
    if (rebalance_told) continue;
    const auto rebalance = client.get(kRebalancePath);
    if (rebalance && rebalance->status == 200) {
      const auto object = parse_object(rebalance->body);
      rebalance_told = true;
      notice_({SpotNotice::Kind::kRebalance, "", object ? text_member(*object, "noticeTime") : std::string()});
    }
  } while (sleep());
}

}  // namespace imgtrain
