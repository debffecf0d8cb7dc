#include "format/remote/retry_policy.h"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>

#include "format/checksum.h"

namespace imgpack::remote {

std::optional<double> pause_before_retry(const RetryPolicy& policy, const FailedAttempts& failed, uint64_t key) {
  constexpr double kMaxDoublings = 30;
  const double step = failed.throttled ? policy.throttled_step_s : policy.step_s;
  const double doublings = std::min<double>(failed.count - 1.0, kMaxDoublings);
  const double longest = std::min(policy.longest_s, step * std::exp2(doublings));
  const std::string name = std::to_string(key) + "/" + std::to_string(failed.count);
  const double share = static_cast<double>(checksum(name) >> 11) * 0x1p-53;
  double pause = longest * (0.5 + 0.5 * share);
  if (failed.retry_after_s) pause = std::max(pause, *failed.retry_after_s);
  if (failed.elapsed_s + pause > policy.total_s) return std::nullopt;
  return pause;
}

std::optional<double> parse_retry_after(std::string_view value, int64_t now_s) {
  uint32_t seconds = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), seconds);
  if (error == std::errc() && end == value.data() + value.size()) return seconds;
  // A date has a comma or a letter; curl's parser also takes bare numbers for dates.
  if (value.find_first_of(" ,") == std::string_view::npos) return std::nullopt;
  const time_t when = curl_getdate(std::string(value).c_str(), nullptr);
  if (when < 0) return std::nullopt;
  return static_cast<double>(std::max<int64_t>(0, static_cast<int64_t>(when) - now_s));
}

bool is_throttling_status(long status) {
  return status == 429 || status == 503 || status == 509;
}

bool is_transient_status(long status) {
  return is_throttling_status(status) || status == 408 || status == 425 || status == 500 || status == 502 ||
         status == 504;
}

}  // namespace imgpack::remote
